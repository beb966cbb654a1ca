"""What goes to and fro between a process that was started here and us."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Any

from tuner.workers.departure import DEPARTURE_MARK, NOTE_MARK, Departure, how_it_ended

if TYPE_CHECKING:
    from tuner.workers.processes import Process


class Conversation:
    """A process that was told what to do: what it prints is printed here, its notes go to ``tell``.

    What it is told goes through its standard input: a password is in no process title. The end of that input is the
    sign to leave, so a process also leaves when this one dies.
    """

    def __init__(self, process: Process, told: Mapping[str, Any], tell: Callable[[str], None]) -> None:
        self.process = process
        self.departure: Departure | None = None
        """Its last word, once it has said it."""
        self.departed = math.inf
        """When that was, by ``time.monotonic``."""
        self._tell = tell
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(told) + "\n")
            process.stdin.flush()
        self._readers = [
            (threading.Thread(target=read, args=(stream,), daemon=True), stream)
            for read, stream in ((self._read_output, process.stdout), (self._read_errors, process.stderr))
        ]
        for reader, _ in self._readers:
            reader.start()

    @property
    def how_it_ended(self) -> str:
        """How a process that said nothing ended, in words."""
        assert self.process.returncode is not None
        return self.process.gone or how_it_ended(self.process.returncode)

    def ask_to_leave(self) -> None:
        """Close its input."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def close(self, patience: float = 2.0) -> None:
        """Read what is left to read, once the process has ended, for so many seconds at most."""
        for reader, stream in self._readers:
            reader.join(timeout=patience)
            if stream is not None and not reader.is_alive():
                stream.close()  # else a process that the objective left behind holds it: its reader goes with us
        self.ask_to_leave()

    def _read_output(self, stream: IO[str]) -> None:
        """The last line a process prints says how it left; before it are its notes, and its objective's own prints."""
        for line in stream:
            if line.startswith(DEPARTURE_MARK):
                self.departure, self.departed = Departure.from_json(line.removeprefix(DEPARTURE_MARK)), time.monotonic()
            elif line.startswith(NOTE_MARK):
                self._tell(json.loads(line.removeprefix(NOTE_MARK)))
            elif line.strip():
                sys.stdout.write(line)

    def _read_errors(self, stream: IO[str]) -> None:
        for line in stream:
            sys.stderr.write(line)
