"""What a network, a loss or a metric of one's own must return, checked where it is first used."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from tuner.errors import ObjectiveError


def outputs_of(module: nn.Module, returned: Any) -> Tensor:
    """Return what a module was called for.

    Raises:
        ObjectiveError: when it is no tensor.
    """
    if isinstance(returned, Tensor):
        return returned
    raise ObjectiveError(
        f"the network {type(module).__name__} must return one tensor [B, …], a row for each sample; "
        f"it returned a value of type {type(returned).__name__}"
    )


def one_each(values: Any, members: int, what: str) -> Tensor:
    """Return what a loss or metric gave for so many members ``[M]``.

    Raises:
        ObjectiveError: when these are not ``[M]`` numbers.
    """
    if isinstance(values, Tensor) and values.shape == (members,):
        return values
    got = f"a tensor {list(values.shape)}" if isinstance(values, Tensor) else f"a value of type {type(values).__name__}"
    raise ObjectiveError(
        f"{what} must return a number for each of the M networks that are scored at once, here a tensor [{members}]; "
        f"it returned {got}: take means over the axes after the first"
    )
