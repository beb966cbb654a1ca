"""Batches that are drawn anew whenever they are learned from: masked tokens, say, or pictures that are turned."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing

import torch
from torch import Tensor

from tuner.training.batches import Batch, Prepare, batches
from tuner.training.data import Part


def varied(
    part: Part, orders: Tensor, sizes: list[int], device: torch.device, prepare: Prepare, *, seeds: Sequence[int]
) -> Generator[Batch]:
    """Yield what :func:`tuner.training.batches.batches` does, each member's batches varied by ``part.vary``.

    A member's chance follows from its seed alone, in any cohort.
    """
    vary = part.vary
    assert vary is not None
    chances = [torch.Generator().manual_seed(seed) for seed in seeds]
    with closing(batches(part, orders, sizes, device, lambda targets: targets)) as plain:
        for inputs, targets in plain:
            drawn = [vary(tuple(x[i] for x in inputs), targets[i], chance) for i, chance in enumerate(chances)]
            own_inputs, own_targets = zip(*drawn, strict=True)
            stacked = tuple(torch.stack(xs) for xs in zip(*own_inputs, strict=True))
            yield stacked, prepare(torch.stack(own_targets).unsqueeze(0))[0]
