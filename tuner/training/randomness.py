"""Where a member's randomness comes from: its seed, the epoch and the purpose, and nothing else.

Nothing is carried from one epoch to the next, so a member that is resumed at an epoch's end, moved into another
cohort or trained alone draws the same numbers, on every kind of device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive(seed: int, purpose: str, epoch: int = 0) -> int:
    """Return the 63-bit seed of one purpose in one epoch."""
    digest = hashlib.blake2b(f"{seed}/{epoch}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, purpose: str, epoch: int = 0) -> torch.Generator:
    """Return a fresh CPU generator: drawing on the CPU gives the same numbers whatever the device."""
    return torch.Generator().manual_seed(derive(seed, purpose, epoch))


@contextmanager
def seeded(seed: int, purpose: str, epoch: int = 0) -> Iterator[None]:
    """Inside, torch's global generators follow from the arguments; outside, they are as they were."""
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, purpose, epoch))
        yield


def order(seed: int, epoch: int, samples: int, fraction: float = 1.0) -> torch.Tensor:
    """Return the ``[n]`` sample numbers of one epoch in the order they are seen.

    With a ``fraction`` below one, all epochs use the same first ``n`` samples of a permutation drawn from the seed.
    """
    shuffled = torch.randperm(used(samples, fraction), generator=generator(seed, "order", epoch))
    if fraction == 1.0:
        return shuffled
    return torch.randperm(samples, generator=generator(seed, "fraction"))[shuffled]


def used(samples: int, fraction: float) -> int:
    """Return how many of the training samples a member with this data fraction sees (at least one)."""
    return max(1, round(samples * fraction))
