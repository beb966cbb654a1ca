"""What runs on a node of a Ray cluster: a worker's process, started, told and heard by an actor."""

from __future__ import annotations

import contextlib
import queue
import threading
from pathlib import Path
from typing import IO

from tuner.workers.processes import OwnProcess

WAIT_SECONDS = 1.0
"""How long an answer waits for something to tell."""
LAST_LINES_SECONDS = 2.0
"""How long what a process has written is read after its end: one that it left behind may hold its streams."""
MOST_LINES = 1000
"""Lines in one answer."""

Line = tuple[str, str]
"""``stdout`` or ``stderr``, and what was written there."""


class Host:
    """The actor of one worker, whose process does not outlive it: its input ends then, and Ray ends what is left."""

    def __init__(self, threads: int, folder: str) -> None:
        """Start a process of so many threads in the ``folder`` the study was started from, where this node has it."""
        self._process = OwnProcess(threads, folder if Path(folder).is_dir() else None)
        self._lines: queue.Queue[Line] = queue.Queue()
        self._answering = threading.Lock()
        self._given = 0
        self._answer: tuple[list[Line], int | None] = ([], None)
        streams = (("stdout", self._process.stdout), ("stderr", self._process.stderr))
        self._readers = [threading.Thread(target=self._read, args=stream, daemon=True) for stream in streams]
        for reader in self._readers:
            reader.start()

    def where(self) -> tuple[str, int]:
        """Return the machine and the number of the process."""
        return self._process.machine, self._process.pid

    def write(self, text: str) -> None:
        """Write to the process's input."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it has ended, which news() tells
            self._process.stdin.write(text)
            self._process.stdin.flush()

    def close(self) -> None:
        """End the process's input: the sign to leave."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()

    def news(self, heard: int) -> tuple[list[Line], int | None]:
        """Return what the process has written since, and its exit code with the last of it.

        ``heard`` is how many answers have arrived: one that did not is given again.
        """
        with self._answering:
            if heard == self._given:
                self._answer = self._next_answer()
                self._given += 1
            return self._answer

    def _next_answer(self) -> tuple[list[Line], int | None]:
        lines: list[Line] = []
        with contextlib.suppress(queue.Empty):
            lines.append(self._lines.get(timeout=WAIT_SECONDS))
        code = self._process.poll()
        if code is not None:
            for reader in self._readers:
                reader.join(LAST_LINES_SECONDS)
        with contextlib.suppress(queue.Empty):
            while len(lines) < MOST_LINES:
                lines.append(self._lines.get_nowait())
        return lines, code if self._lines.empty() else None

    def _read(self, name: str, stream: IO[str]) -> None:
        for line in stream:
            self._lines.put((name, line))
