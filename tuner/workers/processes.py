"""Processes for workers: started early, while the study is read and checked, for their imports take seconds.

On Linux they are forked by one process, the nursery, which has imported what all workers need: then no import is done
twice, and a worker in the place of one that was killed begins at once. Elsewhere each worker is a process of its own
from the start.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from storage import machine
from tuner.workers import errands
from tuner.workers.nursery import FORK, RUNNING
from tuner.workers.planning import Machine, Place, plan

if TYPE_CHECKING:
    from tuner.preparation import Prepared
    from tuner.spec import StudySpec

NEEDED = ("tuner.workers.trainable_worker", "tuner.workers.function_worker")
"""What every worker imports."""
POLL_SECONDS = 0.01


class Process(Protocol):
    """What a launcher asks of a worker's process: as of ``subprocess.Popen``, with pipes of text, and where it runs."""

    machine: str
    """Where its number means something, see ``storage.machine``."""
    gone: str
    """Why nobody can say how it ended; empty while somebody can."""
    pid: int
    stdin: IO[str] | None
    stdout: IO[str] | None
    stderr: IO[str] | None
    returncode: int | None

    def poll(self) -> int | None: ...

    def wait(self) -> int: ...

    def kill(self) -> None: ...


class Processes(Protocol):
    """Where worker processes come from. Leaving the context ends what is not taken."""

    def __enter__(self) -> Processes: ...

    def __exit__(self, *_: object) -> None: ...

    def places(self, spec: StudySpec, workers: int | None) -> list[Place]:
        """Return where the workers of a study will be, each with its device and threads.

        Raises:
            UsageError: when there is no such device, or no worker is asked for.
        """

    def prepare(self, spec: StudySpec, *, where: str) -> Prepared:
        """Return what :func:`tuner.preparation.prepare` gives, with the process that is quickest to give it.

        Raises:
            TunerError: as it does.
        """

    def check(self, spec: StudySpec, kept: Mapping[str, Any]) -> None:
        """Do what :func:`tuner.preparation.check` does, likewise.

        Raises:
            TunerError: as it does.
        """

    def take(self) -> Process:
        """Return a process that runs ``tuner.workers.worker_process`` and waits to be told what to do."""

    def dismiss(self, reason: Callable[[], str | None]) -> None:
        """Let those leave that still wait for a place, if there are any and there is a reason."""


def open_processes(count: int, threads: int, imports: Sequence[str] = ()) -> Processes:
    """Get processes ready for so many workers of so many threads each, whose objective imports these modules."""
    return Nursery(threads, imports) if sys.platform == "linux" else Spawned(count, threads)


class Spawned:
    """Workers that are processes of their own from the start."""

    def __init__(self, count: int, threads: int) -> None:
        self._threads = threads
        self._waiting = [OwnProcess(threads) for _ in range(count)]

    def __enter__(self) -> Spawned:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._waiting:
            process.kill()
            process.communicate()

    def places(self, spec: StudySpec, workers: int | None) -> list[Place]:
        return plan(spec, workers)

    def prepare(self, spec: StudySpec, *, where: str) -> Prepared:
        from tuner.preparation import prepare

        return prepare(spec, where=where)

    def check(self, spec: StudySpec, kept: Mapping[str, Any]) -> None:
        from tuner.preparation import check

        check(spec, kept)

    def take(self) -> Process:
        return self._waiting.pop() if self._waiting else OwnProcess(self._threads)

    def dismiss(self, reason: Callable[[], str | None]) -> None:
        """Do nothing: here nobody waits for a place."""


class OwnProcess(subprocess.Popen[str]):
    """A worker's process that imports all it needs itself."""

    gone = ""

    def __init__(self, threads: int, folder: str | None = None) -> None:
        pipe = subprocess.PIPE
        super().__init__(
            _command("tuner.workers.worker_process"),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
            errors="replace",
            env=_environment(os.environ, threads),
            cwd=folder,
        )
        self.machine = machine.here()


class Nursery:
    """Workers that are forked."""

    def __init__(self, threads: int, imports: Sequence[str]) -> None:
        self._threads = threads
        self._imports = imports
        self._parent = _Parent(threads, imports)
        self._machine: Machine | None = None

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self._parent.end()

    def places(self, spec: StudySpec, workers: int | None) -> list[Place]:
        if self._machine is None:
            self._machine = Machine(**errands.run(self.take(), errands.MACHINE))
        return plan(spec, workers, machine=self._machine)

    def prepare(self, spec: StudySpec, *, where: str) -> Prepared:
        from tuner.preparation import Prepared

        found = errands.run(self.take(), errands.PREPARE, spec=spec.model_dump(mode="json"), where=where)
        return Prepared.from_json(found, where=where)

    def check(self, spec: StudySpec, kept: Mapping[str, Any]) -> None:
        errands.run(self.take(), errands.CHECK, spec=spec.model_dump(mode="json"), kept=dict(kept))

    def take(self) -> Process:
        try:
            return _Forked(self._parent)
        except OSError:  # somebody has killed it
            self._parent.end()
            self._parent = _Parent(self._threads, self._imports)
            return _Forked(self._parent)

    def dismiss(self, reason: Callable[[], str | None]) -> None:
        """Do nothing: here nobody waits for a place."""


class _Parent:
    """The nursery's process, as the launcher sees it. It ends when the launcher does: its channel is closed then."""

    def __init__(self, threads: int, imports: Sequence[str]) -> None:
        self._tickets = 0
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                [*_command("tuner.workers.nursery"), str(theirs.fileno()), *NEEDED, *imports],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=_environment(os.environ, threads),
            )

    def fork(self, files: Sequence[int]) -> int:
        """Return the number of a new process whose standard files these are.

        Raises:
            OSError: when the nursery is gone.
        """
        return int(self._ask(FORK, files))

    def ended(self, pid: int) -> int | None:
        """Return how a process that was forked ended, as ``subprocess`` has it; ``None`` while it runs."""
        try:
            answer = self._ask(str(pid).encode())
        except OSError:  # nobody knows any more how it ended
            return None if lives(pid) else -signal.SIGKILL
        return None if answer == RUNNING else int(answer)

    def _ask(self, what: bytes, files: Sequence[int] = ()) -> bytes:
        self._tickets += 1
        ticket = str(self._tickets).encode()
        socket.send_fds(self._channel, [ticket + b" " + what], list(files))
        while True:
            answer = self._channel.recv(64)
            if not answer:
                raise ConnectionResetError("the nursery is gone")
            of, _, answer = answer.partition(b" ")
            if of == ticket:  # else of a request that was interrupted before its answer came
                return answer

    def end(self) -> None:
        self._channel.close()
        self._process.kill()
        self._process.wait()


class _Forked:
    """One forked process: see ``Process``."""

    gone = ""

    def __init__(self, parent: _Parent) -> None:
        self._parent = parent
        self.machine = machine.here()
        self.returncode: int | None = None
        pipes = [os.pipe() for _ in range(3)]
        theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
        ours = [pipes[0][1], pipes[1][0], pipes[2][0]]
        try:
            self.pid = parent.fork(theirs)
        except BaseException:
            for file in ours:
                os.close(file)
            raise
        finally:
            for file in theirs:
                os.close(file)
        opened = [os.fdopen(file, mode, errors="replace") for file, mode in zip(ours, "wrr", strict=True)]
        self.stdin: IO[str] | None = opened[0]
        self.stdout: IO[str] | None = opened[1]
        self.stderr: IO[str] | None = opened[2]

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._parent.ended(self.pid)
        return self.returncode

    def wait(self) -> int:
        while (code := self.poll()) is None:
            time.sleep(POLL_SECONDS)
        return code

    def kill(self) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    status = Path(f"/proc/{pid}/stat")  # where there is none, a signal that arrives is all there is to go by
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def _command(module: str) -> list[str]:
    return [sys.executable, "-P", "-m", module]  # -P: a storage.py of the person's shadows nothing of ours


def _environment(inherited: Mapping[str, str], threads: int) -> dict[str, str]:
    """Cap the threads of every numeric library, so that workers do not fight over the cores.

    What is freed stays with the worker, up to a bound: glibc gives large blocks back at once, and to get their pages
    anew in each epoch took a quarter of the time of a small Transformer.
    """
    caps = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    defaults = {
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin while they wait take the cores of other workers
        "PYTHONUNBUFFERED": "1",
        "MALLOC_MMAP_THRESHOLD_": str(2**25),
        "MALLOC_TRIM_THRESHOLD_": str(2**28),
    }
    return {**defaults, **inherited, **caps, "POLARS_MAX_THREADS": str(threads)}
