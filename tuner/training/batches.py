"""The batches of an epoch: every member sees its own order of the same samples."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from tuner.training.data import Part

Batch = tuple[tuple[Tensor, ...], Tensor]
"""Inputs, each ``[M, B, ...]``, and targets ``[M, B, ...]``."""

GATHERED_BYTES = 32 * 2**20
"""Inputs of several steps are gathered in one go, up to this much memory."""


def sizes(samples: int, batch_size: int | None, smallest: int = 1) -> list[int]:
    """Return the sizes of the batches of one epoch; the last one may be ragged.

    A last batch of fewer than ``smallest`` samples (batch normalization cannot learn from one) joins the one before it.
    """
    size = min(batch_size or samples, samples)
    if size < smallest:
        raise ValueError(f"this network needs at least {smallest} samples in a batch, got {size}")
    full, rest = divmod(samples, size)
    if not rest:
        return [size] * full
    if rest < smallest:
        return [size] * (full - 1) + [size + rest]
    return [size] * full + [rest]


def batches(part: Part, orders: Tensor, sizes: list[int]) -> Iterator[Batch]:
    """Yield the batches of one epoch from the members' ``[M, n]`` orders; tensors are only valid until the next one."""
    members = len(orders)
    if len(sizes) == 1 and orders.shape[1] == len(part):  # the whole part at once has no order
        yield (
            tuple(x.expand(members, *x.shape) for x in part.inputs),
            part.targets.expand(members, *part.targets.shape),
        )
        return
    row_bytes = sum(x[0].numel() * x.element_size() for x in part.inputs)
    start = 0
    for size, steps in _runs(sizes):
        block = max(1, GATHERED_BYTES // max(1, members * size * row_bytes))
        for first in range(0, steps, block):
            count = min(block, steps - first)
            rows = orders[:, start : start + count * size].reshape(members, count, size).transpose(0, 1).reshape(-1)
            gathered = [
                x.index_select(0, rows).view(count, members, size, *x.shape[1:]).unbind(0)
                for x in (*part.inputs, part.targets)
            ]
            for *inputs, targets in zip(*gathered, strict=True):
                yield tuple(inputs), targets
            start += count * size


def _runs(sizes: list[int]) -> list[tuple[int, int]]:
    """Return (size, how many in a row)."""
    runs: list[tuple[int, int]] = []
    for size in sizes:
        if runs and runs[-1][0] == size:
            runs[-1] = (size, runs[-1][1] + 1)
        else:
            runs.append((size, 1))
    return runs
