"""Sequences of a batch are as long as the longest of a whole part; what is padding in all of them need not be read."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch._C._functorch import is_batchedtensor

AT_ONCE, FEW = 16, 4
"""Attention takes so many keys at once, and what is left one by one: so few columns of padding cost less than that."""
TOGETHER = 64
"""Sequences that are read at once: of more, most are padding for the longest; of fewer, calls cost what is saved."""


def without_padding(numbers: Tensor, pad: int) -> Tensor:
    """Return token numbers without the columns at their end that are padding in every sequence.

    One column stays, and fewer than ``FEW`` of padding where they complete what attention takes at once. On the CPU
    only: a GPU would have to be waited for. Members that are fused keep all columns, as there is no asking for the
    numbers of one of them.

    Shape:
        ``[B, L]``, padded at the end → ``[B, l]`` with l ≤ L.
    """
    if not numbers.is_cpu or is_batchedtensor(numbers):
        return numbers
    length = int((numbers != pad).any(0).sum())
    spare = -length % AT_ONCE
    return numbers[:, : max(1, length + spare if spare < FEW else length)]


def by_length(read: Callable[[Tensor], Tensor], numbers: Tensor, pad: int) -> Tensor:
    """Return what is read of each sequence, those of like length together and without the padding that they share.

    All are read at once where :func:`without_padding` keeps all columns.

    Shape:
        ``[B, L]``, padded at the end → ``[B, ...]``, as ``read`` gives ``[b, ...]`` for ``[b, l]``.
    """
    if not numbers.is_cpu or is_batchedtensor(numbers) or len(numbers) <= TOGETHER:
        return read(without_padding(numbers, pad))
    order = (numbers != pad).sum(1).argsort()
    outputs = [read(without_padding(numbers[rows], pad)) for rows in torch.split(order, TOGETHER)]
    return torch.cat(outputs)[order.argsort()]
