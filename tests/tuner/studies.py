"""Small studies for tests: created from keywords, worked on in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optuna.trial import FixedTrial

from tuner import study
from tuner.fittable import Fittable
from tuner.loading import LoadedTrainable, load_objective
from tuner.results import Results
from tuner.space import Space
from tuner.spec import parse_spec
from tuner.tryout import usual_configuration
from tuner.workers.fittable_worker import FittableWorker
from tuner.workers.function_worker import FunctionWorker
from tuner.workers.places import Places
from tuner.workers.trainable_worker import TrainableWorker
from tuner.workers.worker import Leaving

QUICK: dict[str, Any] = {
    "data": {"source": "iris", "target": "species"},
    "training": {"epochs": 6},
    "search": {"sampler": "random"},
    "budget": {"trials": 6},
}


def create(folder: Path, **tables: Any) -> Results:
    """Create a study of iris, or of what ``tables`` put in its place."""
    values = {"name": "quick", **QUICK, **tables}
    return study.create(parse_spec(values, where="test"), where="test", storage=f"sqlite:///{folder / 'tuner.db'}")


def work(results: Results, *, places: int | None = 1, leaving: Leaving | None = None) -> str:
    """Work on the study in this process; return why the worker left."""
    worker = make_worker(results, places=places, leaving=leaving)
    return worker.run()


def make_worker(
    results: Results, *, places: int | None = 1, leaving: Leaving | None = None
) -> TrainableWorker | FunctionWorker:
    """Return a worker of this process."""
    spec = results.spec
    assert spec is not None
    leaving = leaving or Leaving(results.storage, results.study_id, None)
    loaded = load_objective(spec, where="test")
    if isinstance(loaded, LoadedTrainable) and isinstance(loaded.trainable, Fittable):
        return FittableWorker(results.storage, results.study_id, spec, loaded, loaded.trainable, leaving=leaving)
    if isinstance(loaded, LoadedTrainable):
        worker = TrainableWorker(results.storage, results.study_id, spec, loaded, device="cpu", leaving=leaving)
        if places is not None:
            worker.places = Places(places)
        return worker
    return FunctionWorker(results.storage, results.study_id, spec, loaded, leaving=leaving)


def usual_trial(space: Space) -> FixedTrial:
    """Return a trial of the usual configuration of the space."""
    return FixedTrial(usual_configuration(space))


def curves(results: Results) -> dict[int, list[dict[str, float]]]:
    """Every trial's epochs, less the time they took."""
    return {
        row.number: [
            {name: score for name, score in epoch.scores.items() if name != "seconds"}
            for epoch in results.epochs(row.number)
        ]
        for row in results.trials()
    }
