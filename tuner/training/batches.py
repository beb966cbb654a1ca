"""The batches of an epoch: every member sees its own order of the same samples."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing

import torch
from torch import Tensor

from tuner.training.data import Part
from tuner.training.feeding import gathered, row_bytes
from tuner.training.recipe import RecipeError

Batch = tuple[tuple[Tensor, ...], Tensor]
"""Inputs, each ``[M, B, ...]``, and prepared targets ``[M, ...]``."""
Prepare = Callable[[Tensor], Tensor]
"""Turns the targets of several steps ``[S, M, B, ...]`` into what is wanted in each of them ``[S, M, ...]``."""

GATHERED_BYTES = 32 * 2**20
"""Inputs and prepared targets of several steps are gathered in one go, up to this much memory."""


def sizes(samples: int, batch_size: int | None, smallest: int = 1) -> list[int]:
    """Return the sizes of the batches of one epoch; the last one may be ragged.

    A last batch of fewer than ``smallest`` samples (batch normalization cannot learn from one) joins the one before it.

    Raises:
        RecipeError: when all batches would be smaller.
    """
    size = min(batch_size or samples, samples)
    if size < smallest:
        raise RecipeError(f"batch normalization needs at least {smallest} samples in a batch, not {size}")
    full, rest = divmod(samples, size)
    if not rest:
        return [size] * full
    if rest < smallest:
        return [size] * (full - 1) + [size + rest]
    return [size] * full + [rest]


def batches(part: Part, orders: Tensor, sizes: list[int], device: torch.device, prepare: Prepare) -> Generator[Batch]:
    """Yield the batches of one epoch, on the device, from the members' ``[M, n]`` orders, which lie on the host.

    ``prepare`` gets the targets of several steps at once; what it returns for a step is what the batch has.
    Tensors are only valid until the next one. Close the iterator if it is not used up.
    """
    members = len(orders)
    if len(sizes) == 1 and orders.shape[1] == len(part):  # the whole part at once has no order
        whole = part.gather(torch.arange(len(part))) if part.sources else part.inputs
        targets = part.targets.expand(1, members, *part.targets.shape)
        yield tuple(x.to(device).expand(members, *x.shape) for x in whole), prepare(targets)[0]
        return
    one = prepare(part.targets[:1].view(1, 1, *part.targets[:1].shape))
    sample_bytes = sum(map(row_bytes, part.feeds)) + one.numel() * one.element_size()
    blocks = list(_blocks(sizes, GATHERED_BYTES // (members * sample_bytes)))
    rows = (
        orders[:, start : start + count * size].reshape(members, count, size).transpose(0, 1).reshape(-1)
        for start, size, count in blocks
    )
    with closing(gathered((*part.feeds, part.targets), rows, device)) as feed:
        for (_, size, count), tensors in zip(blocks, feed, strict=True):
            *inputs, targets = (x.view(count, members, size, *x.shape[1:]) for x in tensors)
            for *xs, wanted in zip(*(x.unbind(0) for x in (*inputs, prepare(targets))), strict=True):
                yield tuple(xs), wanted


def _blocks(sizes: list[int], samples: int) -> Iterator[tuple[int, int, int]]:
    """Divide an epoch into (start, batch size, steps) of at most so many samples a member, but one step at least."""
    start = 0
    for size, steps in _runs(sizes):
        block = max(1, samples // size)
        for first in range(0, steps, block):
            count = min(block, steps - first)
            yield start, size, count
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
