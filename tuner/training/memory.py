"""How much memory a device has left."""

from __future__ import annotations

import os
from pathlib import Path

import torch

MEMINFO = Path("/proc/meminfo")
CONTROL_GROUP = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device) -> int:
    """Return how many bytes this process could still take on the device, what torch keeps in reserve included."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(min(_free_on_host(), _free_in_container()))


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
