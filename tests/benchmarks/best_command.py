"""``tuner best`` against ``optuna best-trial`` on the same file of 200 trials, in turn.

python -m tests.benchmarks.best_command [RUNS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna

TRIALS = 200


def main() -> None:
    """Time both commands and print the medians."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'study.db'}"
        study = optuna.create_study(study_name="quadratic", storage=url, sampler=optuna.samplers.RandomSampler())
        study.optimize(lambda trial: sum(trial.suggest_float(f"x{i}", -1, 1) ** 2 for i in range(8)), n_trials=TRIALS)
        scripts = Path(sys.executable).parent
        ours = [str(scripts / "tuner"), "best", "quadratic", "--storage", url]
        theirs = [str(scripts / "optuna"), "best-trial", "--study-name", "quadratic", "--storage", url]
        pairs = [(seconds(ours), seconds(theirs)) for _ in range(runs)]
    for name, times in zip(("tuner best", "optuna best-trial"), zip(*pairs, strict=True), strict=True):
        print(f"{name:18} median {statistics.median(times):.2f} s of {runs} runs")
    print(f"ratio, pair by pair: median {statistics.median(a / b for a, b in pairs):.2f}")


def seconds(command: list[str]) -> float:
    """Return how long the command takes."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
