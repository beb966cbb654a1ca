"""From a trial's hyperparameters to its untrained member."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tuner.recipes import recipe
from tuner.training import Member

if TYPE_CHECKING:
    from tuner.spec import Training
    from tuner.trainable import Trainable
    from tuner.training import Dataset


def make_member(
    trainable: Trainable, dataset: Dataset, params: Mapping[str, Any], training: Training, *, number: int, seed: int
) -> Member:
    """Return the untrained member of trial ``number`` with ``params``; all its randomness follows from ``seed``.

    ``dataset`` is what :meth:`Trainable.load` gave.
    """
    return Member.build(
        number=number,
        recipe=recipe(params, training, seed=seed),
        network=lambda: trainable.network(params),
        loss=trainable.loss(params),
        dataset=trainable.encode(dataset, params),
        layers=trainable.layers,
    )
