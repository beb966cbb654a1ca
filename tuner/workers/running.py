"""Running a study: its workers are started and watched until all have left, and how it ended is noted."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from optuna.trial import TrialState

import tuner.errors
from storage import StorageUnreachableError, machine
from tuner import attributes
from tuner.errors import StudyNotFoundError
from tuner.workers.departure import BUDGET_SPENT, INTERRUPTED, STOPPED, TIME_IS_UP, Departure
from tuner.workers.launcher import Launcher, WorkerSettings
from tuner.workers.planning import Machine
from tuner.workers.processes import Processes, lives, open_processes

if TYPE_CHECKING:
    from storage import SQLStorage
    from tuner.results import Results
    from tuner.spec import StudySpec
    from tuner.workers.processes import Process

log = logging.getLogger("tuner")

Observer = Callable[["Results"], None]
"""Called a few times a second while a study runs, and once at its end."""
WATCH_SECONDS = 0.05
"""How often the launcher looks whether a worker has left."""
DISMISS_SECONDS = 1.0
"""How often it looks whether those that wait for a place need wait any longer."""
OBSERVE_SECONDS = 0.25
"""How often an observer sees the study."""
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
LAST_WORDS_SECONDS = 2.0
"""How long a database that was given up may take for what is still to be said to it."""


def standby(spec: StudySpec, workers: int | None, *, ray: str | None = None, url: str = "") -> Processes:
    """Get as many processes ready as a study of ``spec`` will likely need, before it is read and checked.

    With the address of a ``ray`` cluster they will run there, and must reach the storage at ``url``.
    """
    if ray is not None:
        from tuner.workers.ray_cluster import RayCluster

        return RayCluster(ray, url)
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
        KeyboardInterrupt: on Ctrl-C, or when the objective's own code raises it, once the workers have left.
    """
    spec = results.spec
    assert spec is not None
    storage = results.storage
    places = processes.places(spec, workers)
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
    with noticing_deletion(storage, results.name):
        _run(results, settings, deadline, observer=observer, joining=joining, processes=processes)


@contextlib.contextmanager
def noticing_deletion(storage: SQLStorage, name: str) -> Iterator[None]:
    """Tell what fails for want of the study from other errors: plain Optuna deletes studies that are worked on.

    Raises:
        StudyNotFoundError: when it was deleted.
    """
    try:
        yield
    except KeyError:
        if _is_there(storage, name):
            raise
        raise StudyNotFoundError(f"study '{name}' was deleted while it ran: nothing of it is left") from None


def _is_there(storage: SQLStorage, name: str) -> bool:
    try:
        storage.get_study_id_from_name(name)
    except KeyError:
        return False
    return True


def _run(
    results: Results,
    settings: list[WorkerSettings],
    deadline: float | None,
    *,
    observer: Observer | None,
    joining: bool,
    processes: Processes,
) -> None:
    storage = results.storage
    reason = INTERRUPTED
    free_the_dead(results)
    launcher = Launcher(
        settings,
        on_loss=lambda worker, process, how: _replace(results, worker, process, how),
        ended=lambda: storage.get_n_trials(results.study_id, ENDED),
        processes=processes,
    )
    try:
        with launcher:
            _watch(launcher, processes, results, deadline, observer)
        reason = _reason(launcher.departures)
    except StorageUnreachableError as error:
        storage.database.patience = LAST_WORDS_SECONDS
        raise tuner.errors.StorageUnreachableError(str(error)) from error
    finally:
        with contextlib.suppress(StorageUnreachableError):
            free_the_dead(results)
            if not joining:
                storage.set_study_user_attr(results.study_id, attributes.STOPPED, reason)
            storage.flush()
    _raise_error(launcher.departures)
    if all(departure.reason == INTERRUPTED for departure in launcher.departures):  # by none of us
        raise KeyboardInterrupt
    if observer is not None:
        observer(results)


def _watch(
    launcher: Launcher, processes: Processes, results: Results, deadline: float | None, observer: Observer | None
) -> None:
    observed = dismissed = 0.0
    while launcher.alive:
        launcher.watch()
        if time.monotonic() - dismissed >= DISMISS_SECONDS:
            processes.dismiss(lambda: _moot(results, deadline))
            dismissed = time.monotonic()
        if observer is not None and time.monotonic() - observed >= OBSERVE_SECONDS:
            observer(results)
            observed = time.monotonic()
        if launcher.alive:
            time.sleep(WATCH_SECONDS)


def _moot(results: Results, deadline: float | None) -> str | None:
    """Return why a worker need not begin any more, or ``None``."""
    if deadline is not None and time.time() >= deadline:
        return TIME_IS_UP
    return STOPPED if results.storage.stop_requested(results.study_id) else None


def _replace(results: Results, settings: WorkerSettings, process: Process, how: str) -> None:
    log.warning("worker %d %s; another takes its place and continues its trials", settings.index, how)
    died = "" if process.gone else how  # that a machine was lost is no fault of the trials on it
    free_the_dead(results, {(process.machine, process.pid): died})


def free_the_dead(results: Results, seen_to_end: Mapping[tuple[str | None, int], str] | None = None) -> None:
    """Release what workers held whose process is gone, instead of waiting for their leases to end.

    Those are the processes of this machine that do not live any more, and by machine and number those that were
    ``seen_to_end``; how one died of itself, if it says so, counts against its trials.
    """
    seen: Mapping[tuple[str | None, int], str] = seen_to_end or {}
    for worker in results.storage.list_workers(results.study_id):
        process = (worker.machine, worker.pid)
        if process in seen or (worker.machine == machine.here() and not lives(worker.pid)):
            results.storage.unregister_worker(worker.worker_id, died=seen.get(process, ""))


def _reason(departures: list[Departure]) -> str:
    """Why the run as a whole ended: what a worker decided rather than that nothing was left to do."""
    reasons = [departure.reason for departure in departures]
    return next((reason for reason in reasons if reason != BUDGET_SPENT), BUDGET_SPENT)


def _raise_error(departures: list[Departure]) -> None:
    for departure in departures:
        if departure.exit_code not in (0, 130, 143):
            raise departure.to_error()
