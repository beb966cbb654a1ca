"""Tunes the hyperparameters of PyTorch networks.

    import tuner

    results = tuner.start(data="churn.csv", target="churned", trials=50)
    results.best()

Names are imported when they are first used: looking at results brings neither torch nor scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner.confirmation import Candidate, Confirmation, Estimate
    from tuner.confirming import confirm
    from tuner.errors import (
        DataError,
        NoFinishedTrialError,
        ObjectiveError,
        SpecError,
        StorageNotFoundError,
        StorageUnreachableError,
        StudyConflictError,
        StudyNotFoundError,
        TunerError,
        UsageError,
    )
    from tuner.hyperparameters import TRAINING, Hyperparameter
    from tuner.models.inference import Predictor, load_model
    from tuner.reporting.report import report
    from tuner.results import Epoch, Results, Status, TrialRow
    from tuner.sources import read_spec
    from tuner.space import Choices, Fixed, Range, Space
    from tuner.spec import StudySpec
    from tuner.study import create, delete, join, keep, load, names, resume, start, stop
    from tuner.trainable import DataOptions, ObjectiveOptions, Trainable

    __version__: str

__all__ = [
    "TRAINING",
    "Candidate",
    "Choices",
    "Confirmation",
    "DataError",
    "DataOptions",
    "Epoch",
    "Estimate",
    "Fixed",
    "Hyperparameter",
    "NoFinishedTrialError",
    "ObjectiveError",
    "ObjectiveOptions",
    "Predictor",
    "Range",
    "Results",
    "Space",
    "SpecError",
    "Status",
    "StorageNotFoundError",
    "StorageUnreachableError",
    "StudyConflictError",
    "StudyNotFoundError",
    "StudySpec",
    "Trainable",
    "TrialRow",
    "TunerError",
    "UsageError",
    "__version__",
    "confirm",
    "create",
    "delete",
    "join",
    "keep",
    "load",
    "load_model",
    "names",
    "read_spec",
    "report",
    "resume",
    "start",
    "stop",
]

_HOMES = {
    "sources": ("read_spec",),
    "study": ("create", "delete", "join", "keep", "load", "names", "resume", "start", "stop"),
    "confirming": ("confirm",),
    "confirmation": ("Candidate", "Confirmation", "Estimate"),
    "reporting.report": ("report",),
    "results": ("Epoch", "Results", "Status", "TrialRow"),
    "space": ("Choices", "Fixed", "Range", "Space"),
    "spec": ("StudySpec",),
    "hyperparameters": ("TRAINING", "Hyperparameter"),
    "models.inference": ("Predictor", "load_model"),
    "trainable": ("DataOptions", "ObjectiveOptions", "Trainable"),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    for module, homed in _HOMES.items():
        if name in homed:
            return getattr(import_module(f"tuner.{module}"), name)
    raise AttributeError(f"module 'tuner' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tuner")
    except PackageNotFoundError:
        return "unknown"
