"""What a training step costs on this machine, and so which members are trained together.

A step of M members that are fused takes ``overhead + M * (arithmetic + memory)``. The overhead of calling the kernels
is paid once. The arithmetic is paid for every member, and so is the passage of weights, gradients and optimizer state,
which becomes slow when those of all M members no longer fit the cache. Many small matrices are multiplied as fast as a
few large ones, so arithmetic does not speak for or against fusing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch

MEBIBYTE = 2**20
CALIBRATED_SIZES = tuple(MEBIBYTE * size for size in (1, 2, 4, 8, 16, 32, 64))
PASSES = 3
"""How often a step reads or writes what a member keeps: the forward pass, the backward pass, the update."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What was measured on a device."""

    kernel_seconds: float
    """Calling one kernel that has nothing to do."""
    flops: float
    """Floating-point operations a second of batched matrix products."""
    passages: tuple[tuple[int, float], ...]
    """Bytes that are worked on at a time, and how many of them pass in a second; ascending."""

    def bytes_a_second(self, working_set: float) -> float:
        """Return how fast a working set of so many bytes passes, between what was measured."""
        below = self.passages[0]
        for above in self.passages:
            if working_set <= above[0]:
                if above[0] == below[0]:
                    return above[1]
                share = (working_set - below[0]) / (above[0] - below[0])
                return below[1] + share * (above[1] - below[1])
            below = above
        return below[1]


@dataclass(frozen=True, kw_only=True)
class Step:
    """The work of one training step of one member."""

    kernels: int
    flops: float
    bytes: int
    """What the member keeps: weights, gradient, optimizer state."""


def step_seconds(machine: Machine, step: Step, members: int) -> float:
    """Return how long a step of so many fused members takes."""
    memory = PASSES * step.bytes / machine.bytes_a_second(members * step.bytes)
    return step.kernels * machine.kernel_seconds + members * (step.flops / machine.flops + memory)


def best_together(machine: Machine, step: Step, members: int) -> int:
    """Return into groups of how many the members should be divided: the size with the least time for each."""
    return min(range(1, members + 1), key=lambda size: step_seconds(machine, step, size) / size)


@lru_cache(maxsize=8)
def calibrate(device: torch.device) -> Machine:
    """Measure the device: about a tenth of a second, once a process."""
    small = torch.zeros(8, device=device)
    kernel = _seconds(lambda: small.add_(1.0), device, repeats=200)
    left, right = (torch.ones(16, 32, 64, device=device) for _ in range(2))
    out = torch.empty(16, 32, 32, device=device)
    product = _seconds(lambda: torch.bmm(left, right.mT, out=out), device, repeats=50)
    passages = []
    for size in CALIBRATED_SIZES:
        one, other = (torch.ones(size // 8, device=device) for _ in range(2))
        passages.append((size, size / _seconds(lambda a=one, b=other: a.add_(b), device, repeats=2)))  # type: ignore[misc]
    return Machine(
        kernel_seconds=kernel, flops=2.0 * 16 * 32 * 32 * 64 / max(product - kernel, 1e-9), passages=tuple(passages)
    )


def _seconds(work: Callable[[], object], device: torch.device, *, repeats: int, rounds: int = 3) -> float:
    """Return the shortest time of the work in a few rounds: what else the machine does only ever adds."""
    shortest = float("inf")
    for _ in range(rounds):
        _wait(device)
        started = time.perf_counter()
        for _ in range(repeats):
            work()
        _wait(device)
        shortest = min(shortest, (time.perf_counter() - started) / repeats)
    return shortest


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
