"""Where process numbers mean something: this machine since it started, and in it this container."""

from __future__ import annotations

import functools
import platform
import socket
import uuid
from contextlib import suppress
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")  # another after every start of the machine
_PROCESSES = Path("/proc/self/ns/pid")  # a link whose target names the container's own numbering


@functools.cache
def here() -> str:
    """Return what tells this machine from all others, and this container from others of the same host name.

    Elsewhere than on Linux it is the host's name and hardware address.
    """
    if platform.system() == "Linux":
        with suppress(OSError):
            return f"{_BOOT.read_text().strip()} {_PROCESSES.readlink()}"
    return f"{socket.gethostname()} {uuid.getnode():012x}"
