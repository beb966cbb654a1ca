"""How many workers there are, on which devices, with how many threads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuner.errors import UsageError

if TYPE_CHECKING:
    from tuner.spec import StudySpec

Place = tuple[str, int]
"""The device of a worker and its CPU threads."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What this machine offers to workers."""

    cores: int
    gpus: int

    @staticmethod
    def this() -> Machine:
        """Return this machine."""
        import torch

        return Machine(cores=Machine.cores_here(), gpus=torch.cuda.device_count())

    @staticmethod
    def cores_here() -> int:
        """Return how many cores this process may use."""
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _try(device: str) -> None:
    """Refuse a device that torch does not know, or this machine lacks."""
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise UsageError(
            f"[training] device = '{device}': there is no such device here; write auto, cpu, cuda or cuda:1"
        ) from None


def plan(spec: StudySpec, workers: int | None, machine: Machine | None = None) -> list[Place]:
    """Return what :func:`plan_workers` plans for a study of ``spec`` on this machine, or on one that is like it."""
    trials, device = spec.budget.trials, spec.training.device
    return plan_workers(machine or Machine.this(), workers=workers, trials=trials, device=device)


def plan_workers(machine: Machine, *, workers: int | None, trials: int | None, device: str) -> list[Place]:
    """Return ``(device, threads)`` for each worker.

    Without a wish there is one worker a GPU, or one a core, and never more than there are trials. The cores are
    shared out between the workers. ``device`` is ``auto`` or one that torch knows.

    Raises:
        UsageError: when no worker is asked for, or a device this machine lacks.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: at least 1 is needed")
    kind, _, index = device.partition(":")
    if kind == "cuda" and (machine.gpus == 0 or (index.isdigit() and int(index) >= machine.gpus)):
        raise UsageError(f"[training] device = '{device}': this machine has {machine.gpus} GPUs; write 'auto' or 'cpu'")
    if kind not in ("auto", "cpu", "cuda") or (index and not index.isdigit()):
        _try(device)
    on_gpu = kind == "cuda" or (kind == "auto" and machine.gpus > 0)
    count = workers or (1 if index else machine.gpus if on_gpu else machine.cores)
    if trials is not None:
        count = max(1, min(count, trials))
    threads = max(1, machine.cores // count)
    if not on_gpu:
        return [("cpu" if kind == "auto" else device, threads)] * count
    return [(device if index else f"cuda:{i % machine.gpus}", threads) for i in range(count)]
