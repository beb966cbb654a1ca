"""How much memory a device has left, and how much of it a member takes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tuner.training.precision import Compute
from tuner.training.randomness import seeded, used

if TYPE_CHECKING:
    from tuner.training.data import Dataset
    from tuner.training.member import Member

MEMINFO = Path("/proc/meminfo")
CONTROL_GROUP = Path("/sys/fs/cgroup")
WORK_ROWS = 3
"""Gradient, what the optimizer computes in, and the copy that a stack is made from."""
BACKWARD = 2
"""The backward pass takes, beside what the forward pass left to it, about as much again."""


def free_bytes(device: torch.device) -> int:
    """Return how many bytes this process could still take on the device, what torch keeps in reserve included."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(min(_free_on_host(), _free_in_container()))


def exactly(device: torch.device | str) -> torch.device:
    """Return the device as its tensors name it: ``cuda`` is one of several."""
    device = torch.device(device)
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the host on the device. On a GPU nobody waits for the copy: it is made from pinned memory."""
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


def _free_on_host() -> int:
    if MEMINFO.exists():  # what the kernel would give back (its file cache) counts as free there
        for line in MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _free_in_container() -> float:
    """Return what the control group (version 2) of a container leaves, infinite where nothing limits it."""
    limit, used = CONTROL_GROUP / "memory.max", CONTROL_GROUP / "memory.current"
    if not (limit.exists() and used.exists()) or (most := limit.read_text().strip()) == "max":
        return float("inf")
    return max(0, int(most) - int(used.read_text()))


def member_bytes(member: Member, dataset: Dataset, device: torch.device) -> int:
    """Return about how many bytes a member takes on the device while it trains: its rows, a step, its predictions.

    One step is taken with the member's own module; on a GPU its peak is measured. ``dataset`` is what it learns from.
    """
    samples = used(len(dataset.training), member.recipe.data_fraction)
    rows = torch.arange(min(member.recipe.batch_size or samples, samples))
    inputs = tuple(x.to(device) for x in dataset.training.gather(rows))
    targets = dataset.training.targets[rows].to(device)
    module = member.module.to(device)
    compute = Compute(precision=member.recipe.precision)
    with seeded(member.recipe.seed, "memory"), compute.autocast(device):
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
            outputs = compute.outputs(module(*inputs))
            loss = member.loss(outputs.unsqueeze(0), targets.unsqueeze(0)).sum()
            torch.autograd.grad(loss, [p for p in module.parameters() if p.requires_grad], allow_unused=True)
            step = torch.cuda.max_memory_allocated(device) - before
        else:
            with _kept(module) as kept:
                outputs = compute.outputs(module(*inputs))
                member.loss(outputs.unsqueeze(0), targets.unsqueeze(0))
            step = BACKWARD * sum(kept)
    own = sum(map(_bytes, member.row.values())) + WORK_ROWS * member.layout.size * member.layout.dtype.itemsize
    sequences = targets.ndim > 1 and not targets.is_floating_point()  # they are judged chunk by chunk (judging.py)
    judged = len(rows) if sequences else len(dataset.validation)
    predictions = BACKWARD * judged * _bytes(outputs) // len(rows)
    return own + step + sum(map(_bytes, inputs)) + predictions


@contextmanager
def _kept(module: nn.Module) -> Iterator[list[int]]:
    """Inside, take note of the bytes that autograd keeps for a backward pass, parameters and buffers aside."""
    sizes: list[int] = []
    seen = {_place(value) for value in (*module.parameters(), *module.buffers())}

    def keep(tensor: Tensor) -> Tensor:
        if _place(tensor) not in seen:
            seen.add(_place(tensor))
            sizes.append(tensor.untyped_storage().nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept):
        yield sizes


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
