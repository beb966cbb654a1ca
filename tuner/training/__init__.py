"""The engine: trains one network, or a cohort of networks as one.

Names are imported when they are first used, so that ``tuner.training.recipe``, which needs no torch, does not bring it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner.training.cohort import Cohort, EpochResult
    from tuner.training.data import Dataset, Part, Source
    from tuner.training.losses import (
        LOSSES,
        BinaryCrossEntropy,
        CrossEntropy,
        Huber,
        Loss,
        MeanAbsoluteError,
        MeanSquaredError,
    )
    from tuner.training.member import CheckpointError, Member
    from tuner.training.mlp import MLP
    from tuner.training.network import predict
    from tuner.training.recipe import OPTIMIZERS, SCHEDULES, Recipe, RecipeError

__all__ = [
    "LOSSES",
    "MLP",
    "OPTIMIZERS",
    "SCHEDULES",
    "BinaryCrossEntropy",
    "CheckpointError",
    "Cohort",
    "CrossEntropy",
    "Dataset",
    "EpochResult",
    "Huber",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Member",
    "Part",
    "Recipe",
    "RecipeError",
    "Source",
    "predict",
]

_MODULES = {
    "cohort": ("Cohort", "EpochResult"),
    "data": ("Dataset", "Part", "Source"),
    "losses": (
        "LOSSES",
        "BinaryCrossEntropy",
        "CrossEntropy",
        "Huber",
        "Loss",
        "MeanAbsoluteError",
        "MeanSquaredError",
    ),
    "member": ("CheckpointError", "Member"),
    "mlp": ("MLP",),
    "network": ("predict",),
    "recipe": ("OPTIMIZERS", "SCHEDULES", "Recipe", "RecipeError"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
