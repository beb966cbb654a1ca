"""A whole study of digits with the default space, against the plain way in the same run.

    python -m tests.benchmarks.digits_study [TRIALS] [PROCESSES]

The plain way asks its sampler and its pruner, and trains what the tuner has tried, for as many epochs: otherwise chance
would compare the sizes of networks.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import optuna

import tuner
from tests.benchmarks import plain_way


def main() -> None:
    """Run both and print the figures."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    processes = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    ours = tuned(trials=trials, processes=processes)
    print(f"tuner      {ours}", flush=True)
    plain = plain_way.run("digits", trials=trials, processes=processes, tried=ours.tried)
    print(f"plain way  {plain}", flush=True)
    print(f"time of the tuner / time of the plain way: {ours.seconds / plain.seconds:.3f}", end="")
    print(f"; of the CPU: {ours.cpu_seconds / plain.cpu_seconds:.3f}")


def tuned(
    *, trials: int, processes: int, settings: tuple[str, ...] = (), target: float | None = None
) -> plain_way.Outcome:
    """Run the study with the tuner, start of the processes included."""
    if target is not None:
        settings = (*settings, f"budget.target={target}")
    with tempfile.TemporaryDirectory() as folder:
        clock = plain_way.Clock()
        results = tuner.start(
            "digits",
            trials=trials,
            workers=processes,
            settings=settings,
            storage=f"sqlite:///{Path(folder) / 'tuner.db'}",
        )
        study = optuna.load_study(study_name=results.name, storage=results.storage)
        return plain_way.outcome(study, clock, target)


if __name__ == "__main__":
    main()
