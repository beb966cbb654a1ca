"""From a trial's hyperparameters to its untrained member."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from tuner.own_code import returned
from tuner.recipes import recipe
from tuner.training import Loss, Member
from tuner.training.randomness import derive

if TYPE_CHECKING:
    from tuner.models.warm_start import WarmStart
    from tuner.spec import StudySpec, Training
    from tuner.trainable import Trainable
    from tuner.training import Dataset


def make_member(
    trainable: Trainable,
    dataset: Dataset,
    params: Mapping[str, Any],
    training: Training,
    *,
    number: int,
    seed: int,
    start: WarmStart | None = None,
) -> Member:
    """Return the untrained member of trial ``number`` with ``params``; all its randomness follows from ``seed``.

    ``dataset`` is what :meth:`Trainable.load` gave; the network begins with the weights of ``start``, if any.

    Raises:
        UsageError: when these weights do not fit.
        ObjectiveError: when a method of the objective returns something else than it must.
    """

    name = type(trainable).__name__

    def network() -> nn.Module:
        module = returned(trainable.network(params), nn.Module, f"{name}.network(params)")
        if start is not None:
            start.apply(module)
        return module

    return Member.build(
        number=number,
        recipe=recipe(params, training, seed=seed),
        network=network,
        loss=returned(trainable.loss(params), Loss, f"{name}.loss(params)"),  # type: ignore[type-abstract]
        dataset=trainable.encode(dataset, params),
        layers=trainable.layers,
    )


def trial_seed(spec: StudySpec, number: int) -> int:
    """Return what all randomness of a trial follows from; one that confirms draws anew, whatever its number."""
    return derive(spec.seed, "confirm" if spec.confirms else "trial", number)
