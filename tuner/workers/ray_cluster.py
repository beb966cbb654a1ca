"""Workers on the nodes of a Ray cluster, each the process of an actor.

Ray finds each worker a node with cores or a GPU to spare, asks for more nodes where the cluster can grow, and notices
when a node is lost. Everything else is as on one machine: trials, leases and the budget are the database's, so that
what was on a lost node is continued elsewhere from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from storage import machine, urls
from tuner.errors import TunerError, UsageError
from tuner.workers.departure import DEPARTURE_MARK, INTERRUPTED, NOTE_MARK, Departure
from tuner.workers.planning import Machine, Place, plan_workers
from tuner.workers.ray_node import Host

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import ModuleType

    from tuner.preparation import Prepared
    from tuner.spec import StudySpec

ADDRESS = re.compile(r"auto|(ray://)?[^/:\s]+:\d+|(ray://)?\[[0-9a-fA-F:]+\]:\d+")
HEALTH_SECONDS = 10.0
"""How long a cluster may take to say that it is there."""
LOOK_SECONDS = 3.0
"""How often it is looked whether the cluster is still there."""
LOST_SECONDS = 20.0
"""A cluster that has not answered for so long is given up."""
LAST_WORD_SECONDS = 5.0
"""How long a worker that was killed may take to be heard of."""
AGAIN_SECONDS = 1.0
"""How long to wait after a node did not answer."""
PATIENCE_SECONDS = 10.0
"""How long a worker may wait for a place before the person hears of it."""


class RayCluster:
    """Where a launcher gets the processes of workers from: see ``tuner.workers.processes.Processes``."""

    def __init__(self, address: str, url: str) -> None:
        """Connect to the cluster at ``address``, whose workers will use the storage at ``url``.

        Raises:
            UsageError: when Ray is not installed, or the storage is a file.
            TunerError: when no cluster answers.
        """
        if not ADDRESS.fullmatch(address):
            raise UsageError(f"--ray '{address}': write auto, HOST:PORT or ray://HOST:PORT")
        if urls.parse(url).get_backend_name() == "sqlite":
            raise UsageError(
                f"--ray {address}: the nodes of a cluster cannot share the file {urls.mask(url)}; "
                "name a database that all reach, --storage postgresql://…"
            )
        self._ray = _ray(address)
        self._ours = not self._ray.is_initialized()
        if self._ours:
            _connect(self._ray, address)
        self._share: dict[str, float] = {}
        self._threads = 1
        self._remotes: list[_Remote] = []
        self._lost = ""
        """Why nothing can be asked of the cluster any more; empty while it lives."""
        self._ended = threading.Event()
        if "://" not in address:  # else Ray's client says itself that its server is gone
            host, _, port = str(self._ray.get_runtime_context().gcs_address).rpartition(":")
            threading.Thread(target=self._guard, args=(host, int(port)), daemon=True).start()

    def __enter__(self) -> RayCluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for remote in self._remotes:
            remote.kill()
        for remote in self._remotes:
            remote.wait()
        if self._ours:
            self._ray.shutdown()

    def _guard(self, host: str, port: int) -> None:
        """Notice that the cluster is gone; Ray would wait for its return for a minute and then end this process."""
        answered = time.monotonic()
        while not self._ended.wait(LOOK_SECONDS):
            with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=LOOK_SECONDS):
                answered = time.monotonic()
            if time.monotonic() - answered > LOST_SECONDS:
                self._lost = f"no answer from {host}:{port} for {LOST_SECONDS:g} s"
                for remote in self._remotes:
                    remote.abandon(f"is gone with the Ray cluster: {self._lost}")
                return

    def places(self, spec: StudySpec, workers: int | None) -> list[Place]:
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        planned = plan_on_nodes(nodes, workers=workers, trials=spec.budget.trials, device=spec.training.device)
        device, self._threads = planned[0]
        self._share = {"num_cpus": self._threads}
        if device.startswith("cuda"):
            gpus = sum(node.get("GPU", 0) for node in nodes)
            self._share["num_gpus"] = 1 / math.ceil(len(planned) / gpus) if gpus else 1
        return planned

    def prepare(self, spec: StudySpec, *, where: str) -> Prepared:
        from tuner.preparation import prepare

        return prepare(spec, where=where)

    def check(self, spec: StudySpec, kept: Mapping[str, Any]) -> None:
        from tuner.preparation import check

        check(spec, kept)

    def take(self) -> _Remote:
        """Return a worker's process, which waits for a place.

        Raises:
            TunerError: when the cluster is gone.
        """
        if self._lost:
            raise TunerError(f"the Ray cluster is gone: {self._lost}; `tuner resume` goes on")
        try:
            host = self._ray.remote(Host).options(max_concurrency=8, **self._share)
            actor = host.remote(self._threads, str(Path.cwd()))
        except (self._ray.exceptions.RayError, OSError, RuntimeError, AssertionError) as error:
            raise TunerError(f"the Ray cluster is gone: {_reason(error)}; `tuner resume` goes on") from None
        remote = _Remote(self._ray, actor, self)
        self._remotes.append(remote)
        return remote

    def waits_for(self) -> str:
        """Say what a worker waits for."""
        gpu = self._share.get("num_gpus")
        share = f"{self._threads} CPU" + (f" and {gpu:.3g} GPU" if gpu else "")
        return f"Ray has no node yet with {share} to spare for each worker; those that found one are at work"

    def dismiss(self, reason: Callable[[], str | None]) -> None:
        if any(remote.waits for remote in self._remotes):
            why = reason()
            if why is not None:
                self.dismiss_waiting(why)

    def dismiss_waiting(self, reason: str) -> None:
        """Let those leave that have no place yet: they would find what this worker has found."""
        for remote in self._remotes:
            remote.dismiss(reason)


def plan_on_nodes(
    nodes: Sequence[Mapping[str, float]], *, workers: int | None, trials: int | None, device: str
) -> list[Place]:
    """Return the device and threads of each worker on nodes of such resources (``CPU``, ``GPU``), as Ray has them.

    There are as many workers as on one machine of all their cores and GPUs. Each has as many threads as fit so that all
    find a place, and the GPU, or the part of one, that Ray gives it. Where there is no GPU, as many workers as asked
    for wait for one: the cluster may grow.

    Raises:
        UsageError: when no worker is asked for, or a GPU where there is none.
    """
    if device.startswith("cuda:"):
        raise UsageError(f"[training] device = '{device}': on a cluster Ray chooses the GPU; write 'cuda' or 'auto'")
    nodes = [node for node in nodes if node.get("CPU", 0) >= 1]  # a worker needs one, beside a GPU too
    cores, gpus = (int(sum(node.get(kind, 0) for node in nodes)) for kind in ("CPU", "GPU"))
    if device == "cuda" and not gpus:
        if workers is None:
            raise UsageError(
                "[training] device = 'cuda': the Ray cluster has no GPU now; write 'auto' or 'cpu', or --workers N "
                "where it can grow"
            )
        gpus = workers
    planned = plan_workers(Machine(cores=max(1, cores), gpus=gpus), workers=workers, trials=trials, device=device)
    on_gpu = planned[0][0].startswith("cuda")
    per_gpu = math.ceil(len(planned) / gpus) if on_gpu else 0

    def places(threads: int) -> int:
        return sum(
            int(min(node.get("CPU", 0) // threads, node.get("GPU", 0) * per_gpu if on_gpu else math.inf))
            for node in nodes
        )

    most = planned[0][1]
    threads = next((threads for threads in range(most, 1, -1) if places(threads) >= len(planned)), 1)
    return [("cuda:0" if on_gpu else planned[0][0], threads)] * len(planned)


class _Remote:
    """The process of an actor, as a launcher has it: see ``tuner.workers.processes.Process``.

    A thread asks the actor what its process has written, and puts that into pipes.
    """

    def __init__(self, ray: ModuleType, actor: Any, cluster: RayCluster) -> None:
        self._ray, self._actor, self._cluster = ray, actor, cluster
        self.machine, self.pid = machine.here(), -1  # until it has a place
        self.gone = ""
        self.returncode: int | None = None
        self._farewell = ""  # why it need not begin any more
        self._deciding = threading.Lock()
        pipes = {name: os.pipe() for name in ("stdout", "stderr")}
        self._write = {name: os.fdopen(write, "w", errors="replace") for name, (_, write) in pipes.items()}
        self.stdin: IO[str] | None = cast("IO[str]", _Input(self))
        self.stdout: IO[str] | None = os.fdopen(pipes["stdout"][0])
        self.stderr: IO[str] | None = os.fdopen(pipes["stderr"][0])
        self._relay = threading.Thread(target=self._run, daemon=True)
        self._relay.start()

    @property
    def waits(self) -> bool:
        """Whether it has no place yet."""
        return self.pid == -1 and self.returncode is None

    def poll(self) -> int | None:
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            self._relay.join(LAST_WORD_SECONDS)
        if self.returncode is None:
            self.abandon("is gone: it did not say how it ended")
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        if self.returncode is None:
            self._actor.kill.remote()
            if self.waits:
                self._ray.kill(self._actor)

    def dismiss(self, reason: str) -> None:
        """Let the worker leave for this reason if it has no place yet."""
        with self._deciding:
            waits = self.waits and not self._farewell
            if waits:
                self._farewell = reason
        if waits:
            self._ray.kill(self._actor)

    def abandon(self, why: str) -> None:
        """Say that it is gone, for whatever it may still do cannot be heard any more."""
        self.gone = self.gone or why
        self._end(-signal.SIGKILL)

    def send(self, text: str) -> None:
        self._actor.write.remote(text)

    def leave(self) -> None:
        """Ask the process to leave."""
        self.dismiss(INTERRUPTED)
        if not self._farewell and self.returncode is None:
            self._actor.close.remote()

    def _run(self) -> None:
        try:
            code = self._follow()
        except Exception as error:  # noqa: BLE001 - a launcher that hears of no end would wait without end
            code = self._lost(error)
        if self.returncode is None:
            with contextlib.suppress(Exception):  # it is gone already
                self._ray.kill(self._actor)
        self._end(code)

    def _end(self, code: int) -> None:
        with self._deciding:
            if self.returncode is None:
                self.returncode = code
                for pipe in self._write.values():
                    pipe.close()

    def _follow(self) -> int:
        """Pass on what the process writes, and return its exit code."""
        place = self._actor.where.remote()
        if not self._ray.wait([place], timeout=PATIENCE_SECONDS)[0]:
            self._pass_on("stdout", f"{NOTE_MARK}{json.dumps(self._cluster.waits_for())}\n")
        where = self._ray.get(place)
        with self._deciding:
            self.machine, self.pid = where
        answers = 0
        while True:
            try:
                lines, code = self._ray.get(self._actor.news.remote(answers))
            except self._ray.exceptions.ActorUnavailableError:  # Ray finds out whether it is lost
                time.sleep(AGAIN_SECONDS)
                continue
            answers += 1
            for name, line in lines:
                self._pass_on(name, line)
            if code is not None:
                return int(code)

    def _pass_on(self, name: str, line: str) -> None:
        with self._deciding:
            if self.returncode is not None:
                return
            self._write[name].write(line)
            self._write[name].flush()
        if line.startswith(DEPARTURE_MARK):
            departure = Departure.from_json(line.removeprefix(DEPARTURE_MARK))
            if departure.exit_code == 0 and departure.reason != INTERRUPTED:
                self._cluster.dismiss_waiting(departure.reason)

    def _say_goodbye(self, departure: Departure) -> None:
        self._pass_on("stdout", f"{DEPARTURE_MARK}{departure.to_json()}\n")

    def _lost(self, error: Exception) -> int:
        """Say how it ended without a word of its own, and return the exit code that stands for it."""
        if self._farewell:
            self._say_goodbye(Departure(reason=self._farewell))
            return 0
        if self.pid != -1 or not self._could_not_start(error):
            self.gone = f"is gone: {_reason(error)}"
            return -signal.SIGKILL
        message = f"Ray could not start a worker: {_reason(error)}; every node needs tuner and what the study uses"
        self._say_goodbye(Departure(reason="failed", exit_code=1, message=message))
        return 1

    def _could_not_start(self, error: Exception) -> bool:
        names = ("RayTaskError", "RuntimeEnvSetupError", "ActorUnschedulableError")
        kinds = tuple(getattr(self._ray.exceptions, name) for name in names)
        return getattr(error, "actor_init_failed", False) or isinstance(error, kinds)


class _Input:
    """The input of a process on a node: what of a file the launcher uses."""

    def __init__(self, remote: _Remote) -> None:
        self._remote = remote

    def write(self, text: str) -> None:
        self._remote.send(text)

    def flush(self) -> None:
        """Do nothing: it is on its way."""

    def close(self) -> None:
        self._remote.leave()


def _ray(address: str) -> ModuleType:
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # else Ray would start a cluster in the place of a lost one
    try:
        import ray
    except ImportError:
        raise UsageError(f"--ray {address}: Ray is not installed: pip install ray") from None
    module: ModuleType = ray
    return module


def _connect(ray: ModuleType, address: str) -> None:
    _check_health(address)
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, log_to_driver=False, configure_logging=False, logging_level=logging.ERROR)
    except (ray.exceptions.RayError, OSError, ValueError, RuntimeError, AssertionError) as error:
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise TunerError(f"--ray {address}: {why}") from None
    finally:
        if main:  # Ray has put its own in its place
            signal.signal(signal.SIGTERM, handler)


def _check_health(address: str) -> None:
    """Ask whether a cluster is there: Ray itself would wait for it without end."""
    if "://" in address:  # a server of Ray's clients: for that it waits half a minute
        return
    command = [sys.executable, "-P", "-m", "ray.scripts.scripts", "health-check"]
    if address != "auto":
        command += ["--address", address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=HEALTH_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise _no_cluster(address, f"no answer within {HEALTH_SECONDS:g} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise _no_cluster(address, lines[-1] if lines else f"exit code {done.returncode}")


def _no_cluster(address: str, why: str) -> TunerError:
    return TunerError(f"--ray {address}: no cluster answers: {why}; `ray start --head` starts one on this machine")


def _reason(error: Exception) -> str:
    """Return the line of Ray's that says why: the last one that is no detail of the one before, or its beginning."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("\t")]
    return lines[-1][:200].rstrip(".") if lines else type(error).__name__
