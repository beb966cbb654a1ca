"""From a network's outputs to columns that people read: names of classes, numbers of no more digits than it knows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuner.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

DIGITS = 6
"""Of probabilities, and of numbers beyond the size of a target's deviation: float32 knows no more."""


def class_columns(
    name: str, classes: Sequence[str], outputs: Tensor, *, probabilities: bool
) -> dict[str, Sequence[Any]]:
    """Return the likeliest class of each row of logits ``[B, classes]``, and, if asked, the probability of each."""
    columns: dict[str, Sequence[Any]] = {name: [classes[number] for number in outputs.argmax(-1).tolist()]}
    if probabilities:
        shares = outputs.double().softmax(-1).round(decimals=DIGITS)
        columns |= {f"p({label})": shares[:, number].tolist() for number, label in enumerate(classes)}
    return columns


def number_columns(
    outputs: Tensor, names: Sequence[str] = (), scales: Sequence[float] = (), *, probabilities: bool
) -> Mapping[str, Sequence[float]]:
    """Return numbers ``[B]`` or ``[B, T]``, in people's units, as columns; ``scales`` are the targets' deviations.

    Raises:
        UsageError: when ``probabilities`` are asked for.
    """
    if probabilities:
        raise UsageError("probabilities are those of classes; this model answers with numbers")
    values = outputs.reshape(len(outputs), -1).tolist()
    width = len(values[0]) if values else len(names)
    names = names or (["answer"] if width == 1 else [f"answer {number}" for number in range(width)])
    columns: dict[str, Sequence[float]] = {name: [row[place] for row in values] for place, name in enumerate(names)}
    for name, scale in zip(names, scales, strict=False):
        decimals = DIGITS - math.floor(math.log10(scale))
        columns[name] = [round(value, decimals) for value in columns[name]]
    return columns
