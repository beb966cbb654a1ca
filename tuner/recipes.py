"""From a trial's hyperparameters to how its network is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from tuner.training.recipe import Recipe

if TYPE_CHECKING:
    from tuner.spec import Training


def recipe(params: Mapping[str, Any], training: Training, *, seed: int) -> Recipe:
    """Return how a trial with ``params`` is trained; ``seed`` is the trial's own."""
    known = {item.name for item in fields(Recipe)}
    values = {name: value for name, value in params.items() if name in known}
    if values.get("optimizer") == "gradient_descent":
        values["batch_size"] = None
    if not values.get("momentum"):
        values["nesterov"] = False
    early = training.early_stopping
    return Recipe(
        **{"batch_size": None, **values},
        epochs=training.epochs,
        seed=seed,
        patience=early.patience or None,
        min_delta=early.min_delta,
        monitor=None if early.monitor == "metric" else early.monitor,
        penalise_biases=training.penalise_biases,
        precision=training.precision,
    )
