"""Workers as processes of this machine: started, watched, replaced when killed, asked to leave."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from tuner.workers.conversation import Conversation
from tuner.workers.departure import Departure

if TYPE_CHECKING:
    from tuner.workers.processes import Process, Processes

notes = logging.getLogger("tuner.notes")

LEAVE_SECONDS = 20.0
"""How long workers may take to checkpoint and leave before they are killed."""
LINGER_SECONDS = 60.0
"""How long a worker that has said its last word may take to end: a thread of the objective's may never do."""
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
class _Worker:
    settings: WorkerSettings
    conversation: Conversation

    @property
    def process(self) -> Process:
        return self.conversation.process


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
        self._workers: list[_Worker] = []
        self._restarts: Counter[int] = Counter()
        self._ended_before = 0
        self._leaving = False
        self._told: set[str] = set()
        self._telling = threading.Lock()
        self.departures: list[Departure] = []

    def __enter__(self) -> Launcher:
        for settings in self._waiting:
            self._start(settings)
        return self

    def __exit__(self, *_: object) -> None:
        self.ask_to_leave()
        deadline = time.monotonic() + LEAVE_SECONDS
        while self.alive and time.monotonic() < deadline:
            self.watch()
            time.sleep(0.05)
        for worker in self._workers:
            worker.process.kill()
            worker.process.wait()
            worker.conversation.close()

    @property
    def alive(self) -> int:
        """How many workers have not left yet."""
        return len(self._workers)

    @property
    def pids(self) -> list[int]:
        """The process numbers of the workers."""
        return [worker.process.pid for worker in self._workers]

    def watch(self) -> None:
        """Note who has left, and start a new worker in the place of one that was killed."""
        for worker in list(self._workers):
            if worker.process.poll() is None:
                if time.monotonic() - worker.conversation.departed > LINGER_SECONDS:
                    worker.process.kill()
                continue
            worker.conversation.close()
            self._workers.remove(worker)
            departure = worker.conversation.departure
            if departure is None and not self._leaving and self._may_restart(worker):
                self._on_loss(worker.settings, worker.process, worker.conversation.how_it_ended)
                careful = worker.settings.careful or self._restarts[worker.settings.index] >= CAREFUL_RESTARTS
                self._start(replace(worker.settings, careful=careful))
                continue
            departure = departure or _lost(worker)
            self.departures.append(departure)
            if departure.exit_code not in (0, 130, 143):
                self.ask_to_leave()

    def _start(self, settings: WorkerSettings) -> None:
        conversation = Conversation(self._source.take(), asdict(settings), self._tell)
        self._workers.append(_Worker(settings=settings, conversation=conversation))

    def _may_restart(self, worker: _Worker) -> bool:
        """Whether the worker may be started once more: no study that gets on, or only loses nodes, is given up."""
        if worker.process.gone:
            return True
        index = worker.settings.index
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
        for worker in self._workers:
            worker.conversation.ask_to_leave()


def _lost(worker: _Worker) -> Departure:
    message = f"worker {worker.settings.index} {worker.conversation.how_it_ended}"
    return Departure(reason="lost", exit_code=1, message=message)
