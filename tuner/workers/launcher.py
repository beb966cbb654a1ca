"""Workers as processes of this machine: started, watched, replaced when killed, asked to leave."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuner.workers.processes import Process, Processes

notes = logging.getLogger("tuner.notes")

LEAVE_SECONDS = 20.0
"""How long workers may take to checkpoint and leave before they are killed."""
CAREFUL_RESTARTS = 2
"""From so many on, with no trial ended in between, a worker is careful: it may have died before it had a trial."""
MOST_RESTARTS = 10
"""A worker that dies so often without a word, while no trial of the study ends, is not started again."""


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """What a worker process is told when it starts."""

    storage: str
    study: str
    index: int
    """0, 1, … on this machine."""
    device: str
    """cpu, cuda:0, …"""
    threads: int
    """CPU threads torch may use."""
    deadline: float | None
    """Unix time at which it leaves."""
    workers: int
    """How many workers this machine has for the study."""
    careful: bool = False
    """It takes the place of several that died: it builds no network but a trial's, and one at a time."""


@dataclass(frozen=True, kw_only=True)
class Departure:
    """How a worker left."""

    reason: str
    """Why, in a few words: ``budget spent``, ``stopped``, ``time is up``, ``interrupted``, …"""
    exit_code: int = 0
    message: str = ""
    """One line for the person, when something went wrong."""
    traceback: str = ""
    """The objective's own traceback, when it was at fault."""

    def to_json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Departure:
        """Return what :meth:`to_json` wrote, perhaps that of a newer version: what it adds is left out."""
        known = {field.name for field in fields(Departure)}
        return Departure(**{name: value for name, value in json.loads(text).items() if name in known})


@dataclass(kw_only=True)
class _Process:
    settings: WorkerSettings
    popen: Process
    departure: Departure | None = None
    reader: threading.Thread | None = None
    errors: list[str] = field(default_factory=list)
    error_reader: threading.Thread | None = None


class Launcher:
    """Runs workers until all have left. Use it as a context manager: leaving it leaves no process behind.

    ``on_loss`` is told the settings, the process and the end of a worker that died without a word, before another is
    started in its place; ``ended`` says how many trials of the study have ended.
    """

    def __init__(
        self,
        settings: list[WorkerSettings],
        *,
        on_loss: Callable[[WorkerSettings, Process, str], None],
        ended: Callable[[], int],
        processes: Processes,
    ) -> None:
        self._waiting = settings
        self._on_loss = on_loss
        self._ended = ended
        self._source = processes
        self._processes: list[_Process] = []
        self._restarts: Counter[int] = Counter()
        self._ended_before = 0
        self._leaving = False
        self._told: set[str] = set()
        self._telling = threading.Lock()
        self.departures: list[Departure] = []

    def __enter__(self) -> Launcher:
        for settings in self._waiting:
            self._processes.append(_start(settings, self._tell, self._source.take()))
        return self

    def __exit__(self, *_: object) -> None:
        self.ask_to_leave()
        deadline = time.monotonic() + LEAVE_SECONDS
        while self.alive and time.monotonic() < deadline:
            self.watch()
            time.sleep(0.05)
        for process in self._processes:
            process.popen.kill()
            process.popen.wait()
            _close(process)

    @property
    def alive(self) -> int:
        """How many workers have not left yet."""
        return len(self._processes)

    @property
    def pids(self) -> list[int]:
        """The process numbers of the workers."""
        return [process.popen.pid for process in self._processes]

    def watch(self) -> None:
        """Note who has left, and start a new worker in the place of one that was killed."""
        for process in list(self._processes):
            code = process.popen.poll()
            if code is None:
                continue
            _close(process)
            self._processes.remove(process)
            departure = process.departure or _lost(process, code)
            if process.departure is None and not self._leaving and self._may_restart(process):
                self._on_loss(process.settings, process.popen, process.popen.gone or how_it_ended(code))
                careful = process.settings.careful or self._restarts[process.settings.index] >= CAREFUL_RESTARTS
                settings = replace(process.settings, careful=careful)
                self._processes.append(_start(settings, self._tell, self._source.take()))
                continue
            self.departures.append(departure)
            if departure.exit_code not in (0, 130, 143):
                self.ask_to_leave()

    def _may_restart(self, process: _Process) -> bool:
        """Whether the worker may be started once more: no study that gets on, or only loses nodes, is given up."""
        if process.popen.gone:
            return True
        index = process.settings.index
        ended = self._ended()
        if ended > self._ended_before:
            self._restarts.clear()
        self._ended_before = ended
        self._restarts[index] += 1
        return self._restarts[index] <= MOST_RESTARTS

    def _tell(self, note: str) -> None:
        """Tell the person what a worker noticed, once for all workers."""
        with self._telling:
            new = note not in self._told
            self._told.add(note)
        if new:
            notes.info("%s", note)

    def ask_to_leave(self) -> None:
        """Ask every worker to checkpoint, release its trials and leave."""
        if self._leaving:
            return
        self._leaving = True
        for process in self._processes:
            if process.popen.stdin is not None:
                with contextlib.suppress(OSError):
                    process.popen.stdin.close()


def _start(settings: WorkerSettings, tell: Callable[[str], None], popen: Process) -> _Process:
    """Start one worker. What it is told goes through its standard input: a password is in no process title.

    The end of that input is the sign to leave, so a worker also leaves when this process dies.
    """
    process = _Process(settings=settings, popen=popen)
    assert popen.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        popen.stdin.write(json.dumps(asdict(settings)) + "\n")
        popen.stdin.flush()
    process.reader = threading.Thread(target=_read_output, args=(process, tell), daemon=True)
    process.error_reader = threading.Thread(target=_read_errors, args=(process,), daemon=True)
    process.reader.start()
    process.error_reader.start()
    return process


def _read_output(process: _Process, tell: Callable[[str], None]) -> None:
    """The last line a worker prints says how it left; before it are its notes, and its objective's own prints."""
    assert process.popen.stdout is not None
    for line in process.popen.stdout:
        if line.startswith(DEPARTURE_MARK):
            process.departure = Departure.from_json(line.removeprefix(DEPARTURE_MARK))
        elif line.startswith(NOTE_MARK):
            tell(json.loads(line.removeprefix(NOTE_MARK)))
        elif line.strip():
            sys.stdout.write(line)


def _read_errors(process: _Process) -> None:
    assert process.popen.stderr is not None
    for line in process.popen.stderr:
        process.errors.append(line)
        del process.errors[:-50]
        sys.stderr.write(line)


def _close(process: _Process) -> None:
    streams = (process.popen.stdout, process.popen.stderr)
    for thread, stream in zip((process.reader, process.error_reader), streams, strict=True):
        if thread is not None:
            thread.join(timeout=2)
        if stream is not None and (thread is None or not thread.is_alive()):
            stream.close()  # else a process that the objective left behind holds it: its reader goes with us
    if process.popen.stdin is not None:
        with contextlib.suppress(OSError):
            process.popen.stdin.close()


def how_it_ended(code: int) -> str:
    """Return in words what the exit code of a process that said nothing means."""
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    return f"was killed by signal {-code}"


def _lost(process: _Process, code: int) -> Departure:
    how = process.popen.gone or how_it_ended(code)
    return Departure(reason="lost", exit_code=1, message=f"worker {process.settings.index} {how}")


BUDGET_SPENT = "budget spent"
INTERRUPTED = "interrupted"
STOPPED = "stopped"
TIME_IS_UP = "time is up"
DEPARTURE_MARK = "\x1etuner-departure "
NOTE_MARK = "\x1etuner-note "
"""Starts the line on which a worker says how it left."""
