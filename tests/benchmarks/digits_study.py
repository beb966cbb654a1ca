"""A whole study of digits with the default space, against the plain way in the same run.

python -m tests.benchmarks.digits_study [TRIALS] [PROCESSES]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import tuner
from tests.benchmarks import plain_way


def main() -> None:
    """Run both and print the figures."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    processes = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    ours = tuned(trials, processes)
    print(_line("tuner", ours), flush=True)
    plain = plain_way.run("digits", trials=trials, processes=processes)
    print(_line("plain way", plain), flush=True)
    print(f"time of the tuner / time of the plain way: {ours.seconds / plain.seconds:.3f}")


def tuned(trials: int, processes: int) -> plain_way.Outcome:
    """Run the study with the tuner, start of the processes included."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        results = tuner.start(
            "digits", trials=trials, workers=processes, storage=f"sqlite:///{Path(folder) / 'tuner.db'}"
        )
        seconds = time.perf_counter() - started
        rows = results.trials()
        best = results.best()[0].values[results.metric_names[0]]
        assert best is not None
        epochs = sum(len(results.epochs(row.number)) for row in rows)
        return plain_way.Outcome(seconds=seconds, trials=len(rows), best=best, epochs=epochs)


def _line(name: str, outcome: plain_way.Outcome) -> str:
    rate = outcome.trials / outcome.seconds * 60
    return (
        f"{name:10} {outcome.trials} trials, {outcome.epochs} epochs in {outcome.seconds:.1f} s: "
        f"{rate:.0f} trials a minute, best validation accuracy {outcome.best:.4f}"
    )


if __name__ == "__main__":
    main()
