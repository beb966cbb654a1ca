"""The nursery: a process that has imported what all workers need, and forks itself where one is wanted.

It runs no code of a person's, no thread and nothing on a GPU, so that forking it is safe. It is asked through a socket:
to fork, with the standard files of the new process, or how one of them ended, by its number. Each request has a ticket,
which its answer repeats: Ctrl-C may come between the two.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import sys
import warnings
from collections.abc import Sequence

FORK = b"fork"
"""Asks for a process; anything else is a process number."""
RUNNING = b"running"
"""Answers that a process has not ended."""


def main(channel: socket.socket, imports: Sequence[str]) -> None:
    """Fork when asked, tell how those that were forked ended, end when the other side does."""
    hang_up = signal.getsignal(signal.SIGHUP)  # ignored under nohup
    # what a terminal sends to all of us is for the workers
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    gc.disable()  # next to nothing that imports make is garbage
    for name in imports:
        importlib.import_module(name)
    gc.freeze()  # what is here stays: no child's collector need look at it, and so copy it, at work or at its end
    # OpenBLAS has threads from the start; it ends them before a fork and starts them after it.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    ended: dict[bytes, bytes] = {}
    while True:
        message, files, _, _ = socket.recv_fds(channel, 64, 3)
        if not message:
            return
        ticket, asked = message.split()
        if asked != FORK:
            if asked not in ended:
                pid, status = os.waitpid(int(asked), os.WNOHANG)
                if pid:
                    ended[asked] = str(os.waitstatus_to_exitcode(status)).encode()
            channel.send(ticket + b" " + ended.get(asked, RUNNING))
            continue
        pid = os.fork()
        if pid == 0:
            gc.enable()
            channel.close()
            signal.signal(signal.SIGHUP, hang_up)
            _be_worker(files)
            return
        for file in files:
            os.close(file)
        child = str(pid).encode()
        ended.pop(child, None)  # of another process, long ago
        channel.send(ticket + b" " + child)


def _be_worker(files: Sequence[int]) -> None:
    """Go on as a worker with these standard files, as different from other workers as if it had been started alone."""
    import numpy as np

    from tuner.workers import worker_process

    for place, file in enumerate(files):
        os.dup2(file, place)
        os.close(file)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    np.random.seed()  # Python's own generator does so by itself
    worker_process.main()


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
