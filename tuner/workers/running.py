"""Running a study on this machine: how many workers, on which devices, until when, and how it ended."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optuna.trial import TrialState

import tuner.errors
from storage import StorageUnreachableError, machine
from tuner import attributes
from tuner.errors import ObjectiveError, TunerError, UsageError
from tuner.workers.launcher import Departure, Launcher, WorkerSettings
from tuner.workers.processes import Processes, lives, open_processes

if TYPE_CHECKING:
    from tuner.results import Results
    from tuner.spec import StudySpec

log = logging.getLogger("tuner")

Observer = Callable[["Results"], None]
"""Called a few times a second while a study runs, and once at its end."""
WATCH_SECONDS = 0.05
"""How often the launcher looks whether a worker has left."""
OBSERVE_SECONDS = 0.25
"""How often an observer sees the study."""
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
BUDGET_SPENT = "budget spent"
LAST_WORDS_SECONDS = 2.0
"""How long a database that was given up may take for what is still to be said to it."""


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


def plan(spec: StudySpec, workers: int | None) -> list[tuple[str, int]]:
    """Return what :func:`plan_workers` plans for a study of ``spec`` on this machine."""
    trials, device = spec.budget.trials, spec.training.device
    return plan_workers(Machine.this(), workers=workers, trials=trials, device=device)


def plan_workers(machine: Machine, *, workers: int | None, trials: int | None, device: str) -> list[tuple[str, int]]:
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
    on_gpu = kind == "cuda" or (kind == "auto" and machine.gpus > 0)
    count = workers or (1 if index else machine.gpus if on_gpu else machine.cores)
    if trials is not None:
        count = max(1, min(count, trials))
    threads = max(1, machine.cores // count)
    if not on_gpu:
        return [("cpu" if kind == "auto" else device, threads)] * count
    return [(device if index else f"cuda:{i % machine.gpus}", threads) for i in range(count)]


def standby(spec: StudySpec, workers: int | None) -> Processes:
    """Get as many processes ready as a study of ``spec`` will likely need, before it is read and checked."""
    from tuner.loading import imports_of

    cores = Machine.cores_here()
    count = workers if workers is not None else cores
    count = max(0, min(count, spec.budget.trials or count))
    return open_processes(count, max(1, cores // max(1, count)), imports_of(spec))


def run(
    results: Results,
    *,
    workers: int | None,
    observer: Observer | None,
    joining: bool = False,
    processes: Processes,
) -> None:
    """Run the study's workers until all have left.

    Raises:
        TunerError: when a worker met an error that is not one of a single trial.
        KeyboardInterrupt: on Ctrl-C, once the workers have left.
    """
    spec = results.spec
    assert spec is not None
    storage = results.storage
    places = plan(spec, workers)
    if not joining:
        storage.clear_stop(results.study_id)
        storage.set_study_user_attr(results.study_id, attributes.STOPPED, None)
    deadline = time.time() + spec.budget.timeout if spec.budget.timeout is not None else None
    url = storage.database.url.render_as_string(hide_password=False)
    settings = [
        WorkerSettings(
            storage=url,
            study=results.name,
            index=index,
            device=device,
            threads=threads,
            deadline=deadline,
            workers=len(places),
        )
        for index, (device, threads) in enumerate(places)
    ]
    reason = "interrupted"
    free_the_dead(results)
    launcher = Launcher(
        settings,
        on_loss=lambda worker, pid, how: _replace(results, worker, pid, how),
        ended=lambda: storage.get_n_trials(results.study_id, ENDED),
        processes=processes,
    )
    try:
        with launcher:
            _watch(launcher, results, observer)
        reason = _reason(launcher.departures)
    except StorageUnreachableError:
        storage.database.patience = LAST_WORDS_SECONDS
        raise
    finally:
        with contextlib.suppress(StorageUnreachableError):
            free_the_dead(results)
            if not joining:
                storage.set_study_user_attr(results.study_id, attributes.STOPPED, reason)
            storage.flush()
    _raise_error(launcher.departures)
    if observer is not None:
        observer(results)


def _watch(launcher: Launcher, results: Results, observer: Observer | None) -> None:
    observed = 0.0
    while launcher.alive:
        launcher.watch()
        if observer is not None and time.monotonic() - observed >= OBSERVE_SECONDS:
            observer(results)
            observed = time.monotonic()
        if launcher.alive:
            time.sleep(WATCH_SECONDS)


def _replace(results: Results, settings: WorkerSettings, pid: int, how: str) -> None:
    log.warning("worker %d %s; another takes its place and continues its trials", settings.index, how)
    free_the_dead(results, {pid: how})


def free_the_dead(results: Results, seen_to_die: Mapping[int, str] | None = None) -> None:
    """Release what workers of this machine held whose process is gone, instead of waiting for their leases to end.

    ``seen_to_die`` says how processes ended that died of themselves: that counts against their trials.
    """
    for worker in results.storage.list_workers(results.study_id):
        if worker.machine == machine.here() and not lives(worker.pid):
            how = (seen_to_die or {}).get(worker.pid, "")
            results.storage.unregister_worker(worker.worker_id, died=how)


def _reason(departures: list[Departure]) -> str:
    """Why the run as a whole ended: what a worker decided rather than that nothing was left to do."""
    reasons = [departure.reason for departure in departures]
    return next((reason for reason in reasons if reason != BUDGET_SPENT), BUDGET_SPENT)


def _raise_error(departures: list[Departure]) -> None:
    for departure in departures:
        if departure.exit_code in (0, 130, 143):
            continue
        if departure.traceback:
            raise ObjectiveError(departure.message, traceback=departure.traceback)
        if departure.exit_code == tuner.errors.StorageUnreachableError.exit_code:
            raise tuner.errors.StorageUnreachableError(departure.message)
        error = TunerError(departure.message)
        error.exit_code = departure.exit_code  # type: ignore[misc]
        raise error
