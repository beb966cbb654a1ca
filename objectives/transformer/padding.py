"""Sequences of a batch are as long as the longest of a whole part; what is padding in all of them need not be read."""

from __future__ import annotations

from torch import Tensor
from torch._C._functorch import is_batchedtensor


def without_padding(numbers: Tensor, pad: int) -> Tensor:
    """Return token numbers without the columns at their end that are padding in every sequence; one column stays.

    On the CPU only: a GPU would have to be waited for. Members that are fused keep all columns, as there is no asking
    for the numbers of one of them.

    Shape:
        ``[B, L]``, padded at the end → ``[B, l]`` with l ≤ L.
    """
    if not numbers.is_cpu or is_batchedtensor(numbers):
        return numbers
    length = int((numbers != pad).any(0).sum())
    return numbers[:, : max(1, length)]
