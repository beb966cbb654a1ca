"""From a network's outputs to columns that people read: names of classes, numbers in the targets' units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuner.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


def class_columns(
    name: str, classes: Sequence[str], outputs: Tensor, *, probabilities: bool
) -> dict[str, Sequence[Any]]:
    """Return the likeliest class of each row of logits ``[B, classes]``, and, if asked, the probability of each."""
    columns: dict[str, Sequence[Any]] = {name: [classes[number] for number in outputs.argmax(-1).tolist()]}
    if probabilities:
        shares = outputs.double().softmax(-1)
        columns |= {f"p({label})": shares[:, number].tolist() for number, label in enumerate(classes)}
    return columns


def number_columns(outputs: Tensor, names: Sequence[str] = (), *, probabilities: bool) -> Mapping[str, Sequence[float]]:
    """Return numbers ``[B]`` or ``[B, T]``, in people's units, as columns.

    Raises:
        UsageError: when ``probabilities`` are asked for.
    """
    if probabilities:
        raise UsageError("probabilities are those of classes; this model answers with numbers")
    rows = outputs.unsqueeze(1).flatten(1)  # [B] or [B, T] → [B, T]
    values, width = rows.tolist(), rows.shape[1]
    names = names or (["answer"] if width == 1 else [f"answer {number}" for number in range(width)])
    return {name: [row[place] for row in values] for place, name in enumerate(names)}
