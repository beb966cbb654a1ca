"""A study's life: created from a study file or a table, run here, continued, looked at, deleted."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tuner import attributes
from tuner.confirmation import CONFIRMING, confirming_study
from tuner.errors import (
    StorageNotFoundError,
    StorageUnreachableError,
    StudyConflictError,
    StudyNotFoundError,
    TunerError,
    UsageError,
)
from tuner.results import Results
from tuner.searchless import no_search_while_importing
from tuner.sources import read_spec
from tuner.spelling import nearest

if TYPE_CHECKING:
    from storage import Deletion, SQLStorage, StorageError
    from tuner.models.keeping import KeptModel
    from tuner.spec import StudySpec
    from tuner.workers.processes import Processes
    from tuner.workers.running import Observer

notes = logging.getLogger("tuner.notes")
"""What was inferred from the data and might surprise."""

DEFAULT_STORAGE = "sqlite:///tuner.db"
WAYS_TO_NAME_STORAGE = ("TUNER_STORAGE", "OPTUNA_STORAGE")
FIRST_CONTACT_SECONDS = 5.0
"""How long a database may stay silent when it is first asked; once it has answered, much longer."""


def storage_url(given: str | None = None) -> str:
    """Return the storage to use: the one given, else from the environment, else ``tuner.db`` in this folder."""
    if given:
        return given
    for name in WAYS_TO_NAME_STORAGE:
        if os.environ.get(name):
            return os.environ[name]
    return DEFAULT_STORAGE


def open_storage(url: str | None = None, *, create: bool = False) -> SQLStorage:
    """Open the storage of :func:`storage_url`.

    Raises:
        StorageUnreachableError: when it does not answer, or StorageNotFoundError, when there is none.
        UsageError: for what is no URL of a storage.
        TunerError: when it cannot be used otherwise.
    """
    import storage
    from storage.engine import PATIENCE

    try:
        opened = storage.open_storage(storage_url(url), create=create, patience=FIRST_CONTACT_SECONDS)
    except storage.StorageError as error:
        raise _as_ours(error) from error
    opened.database.patience = PATIENCE
    return opened


def _as_ours(error: StorageError) -> TunerError:
    """Return what the API raises for an error of the storage, which knows nothing of ours."""
    import storage

    if isinstance(error, storage.StorageNotFoundError):
        return StorageNotFoundError(str(error))
    if isinstance(error, storage.StorageUnreachableError):
        return StorageUnreachableError(str(error))
    return UsageError(str(error)) if isinstance(error, storage.StorageUrlError) else TunerError(str(error))


def load(name: str, *, storage: str | None = None) -> Results:
    """Return a study's results.

    Raises:
        StudyNotFoundError: when the storage has no study of that name.
    """
    opened = open_storage(storage)
    return Results(opened, name, _find(opened, name))


def names(*, storage: str | None = None) -> list[str]:
    """Return the names of all studies in the storage."""
    return [study.study_name for study in open_storage(storage).get_all_studies()]


def delete(name: str, *, storage: str | None = None) -> None:
    """Remove a study with all its trials, and the study that confirms it.

    Raises:
        StudyNotFoundError: when there is none of that name.
        UsageError: when workers are at work on it.
    """
    results = load(name, storage=storage)
    workers = results.storage.list_workers(results.study_id)
    if workers:
        count = f"{len(workers)} worker{'s' if len(workers) > 1 else ''}"
        raise UsageError(f"study '{name}' has {count} at work; `tuner stop {name}` asks them to leave first")
    if confirming_study(name) in names(storage=storage):
        confirming = load(confirming_study(name), storage=storage)
        if confirming.spec is not None and confirming.spec.confirms == name:
            delete(confirming.name, storage=storage)
    if results.spec is not None:
        from tuner.checkpoints import open_store

        open_store(results.storage, results.study_id, results.spec).remove_all()
    results.storage.delete_study(results.study_id)


def clean(name: str, *, storage: str | None = None, preview: bool = False) -> list[Deletion]:
    """Delete the checkpoints that ``[training.checkpoints]`` does not ask to keep; return what went, and why.

    With ``preview`` nothing is deleted: what is returned would be.

    Raises:
        StudyNotFoundError: when there is none of that name.
        UsageError: when another program created the study.
    """
    from tuner.checkpoints import open_store

    results = load(name, storage=storage)
    store = open_store(results.storage, results.study_id, stored_spec(results))
    return store.preview() if preview else store.clean()


def stop(name: str, *, storage: str | None = None) -> int:
    """Ask every worker of the study, wherever it runs, to checkpoint and leave; return how many are at work.

    Those that are just starting leave too; :func:`start` and :func:`resume` take the request back.

    Raises:
        StudyNotFoundError: when there is none of that name.
    """
    results = load(name, storage=storage)
    results.storage.request_stop(results.study_id)
    return len(results.storage.list_workers(results.study_id))


def keep(
    name: str,
    *,
    trial: int | Sequence[int] | None = None,
    ensemble: int | None = None,
    as_name: str | None = None,
    replace: bool = False,
    storage: str | None = None,
) -> KeptModel:
    """Keep the network of a trial, the chosen one by default, or those of several as one model.

    See :func:`tuner.models.keeping.keep`.

    Raises:
        StudyNotFoundError: when there is no study of that name.
    """
    from tuner.models.keeping import keep

    trials = [] if trial is None else list(trial) if isinstance(trial, Sequence) else [int(trial)]
    return keep(load(name, storage=storage), trials=trials, ensemble=ensemble, name=as_name, replace=replace)


def start(
    source: str | os.PathLike[str] | None = None,
    *,
    data: str | None = None,
    target: str | list[str] | None = None,
    name: str | None = None,
    settings: Iterable[str] = (),
    trials: int | None = None,
    timeout: float | str | None = None,
    seed: int | None = None,
    workers: int | None = None,
    ray: str | None = None,
    storage: str | None = None,
    observer: Observer | None = None,
) -> Results:
    """Create a study and run it on this machine until its budget is spent; return its results.

    Args:
        source, data, target, settings: see :func:`read_spec`.
        name, trials, seed: override the study file's.
        timeout: of this run, in place of the study file's; what :func:`resume` runs has its own.
        workers: processes; by default one a core, or one a GPU.
        ray: a Ray cluster whose nodes run the workers: ``auto``, ``HOST:PORT`` or ``ray://HOST:PORT``.
        storage: a database URL, see :func:`storage_url`.
        observer: sees the study while it runs.

    Raises:
        TunerError: when the study file, the data or the storage cannot be used; nothing is written then.
        KeyboardInterrupt: on Ctrl-C, after the workers have left; :func:`resume` continues.
    """
    no_search_while_importing()
    changes = {"name": name, "budget.trials": trials, "seed": seed}
    spec, where = read_spec(source, data=data, target=target, settings=settings, changes=changes)
    check_start(spec, where=where, storage=storage)
    return start_spec(
        spec,
        where=where,
        workers=workers,
        timeout=seconds_of_run(timeout),
        ray=ray,
        storage=storage,
        observer=observer,
    )


def start_spec(
    spec: StudySpec,
    *,
    where: str,
    workers: int | None,
    timeout: float | None,
    ray: str | None = None,
    storage: str | None,
    observer: Observer | None,
) -> Results:
    """Create and run the study of a spec that was read from ``where`` and checked; see :func:`start`."""
    from tuner.workers.running import standby

    with standby(spec, workers, ray=ray, url=storage_url(storage)) as processes:
        processes.places(spec, workers)
        results = create(spec, where=where, storage=storage, processes=processes)
        return go_on(results, workers=workers, timeout=timeout, processes=processes, observer=observer)


def seconds_of_run(timeout: float | str | None) -> float | None:
    """Return the seconds that a run may take, of ``90``, ``"15m"`` or ``"1h30m"``.

    Raises:
        UsageError: when it is no duration.
    """
    from tuner.spec import parse_duration

    try:
        return None if timeout is None else parse_duration(timeout)
    except ValueError as error:
        raise UsageError(f"--timeout {timeout}: {error}") from None


def create(
    spec: StudySpec, *, where: str = "study", storage: str | None = None, processes: Processes | None = None
) -> Results:
    """Create a study in the storage without running it: its data is read and checked, its space written out.

    With ``processes`` one of them does that, else this one.

    Raises:
        StudyConflictError: when there is a study of that name.
        TunerError: when the spec, the data or the storage cannot be used; nothing is written then.
    """
    from optuna.exceptions import DuplicatedStudyError

    from tuner.models import naming
    from tuner.preparation import prepare

    url = storage_url(storage)
    spec = naming.located(spec, url)
    naming.check_free(spec, url)
    prepared = (processes.prepare if processes is not None else prepare)(spec, where=where)
    opened = open_storage(storage, create=True)
    try:
        study_id = opened.create_study(
            spec.name,
            prepared.directions,
            user_attrs={attributes.SPEC: prepared.spec.model_dump(mode="json"), attributes.DATA: prepared.data},
            system_attrs={attributes.METRIC_NAMES: prepared.metric_names},
            budget=prepared.spec.budget.trials,
        )
    except DuplicatedStudyError:
        raise _taken(spec.name) from None
    source = f"{prepared.data.get('source', where)}: "
    for note in prepared.data.get("notes", ()):
        notes.info("%s%s", source, note.removeprefix(source))
    return Results(opened, spec.name, study_id)


def check_start(spec: StudySpec, *, where: str, storage: str | None) -> None:
    """Refuse what can be seen before any data is read; :func:`create` looks again.

    Raises:
        StudyConflictError: when there is a study of that name.
        UsageError: when the name is one of those that confirm another.
        SpecError: for what a built-in objective does not take.
    """
    from tuner.loading import check_built_in
    from tuner.models import naming

    check_built_in(naming.located(spec, storage_url(storage)), where=where)
    name = spec.name
    if name.endswith(CONFIRMING):
        raise UsageError(
            f"study '{name}': names that end in {CONFIRMING} are for `tuner confirm`; --name gives another"
        )
    try:
        opened = open_storage(storage)
    except StorageNotFoundError:
        return
    if name in [study.study_name for study in opened.get_all_studies()]:
        raise _taken(name)


def _taken(name: str) -> StudyConflictError:
    resumed = f"`tuner resume {shlex.quote(name)}`"
    return StudyConflictError(
        f"study '{name}' exists already; continue it with {resumed}, or choose another name with --name"
    )


def resume(
    name: str,
    *,
    add: int | None = None,
    source: str | None = None,
    settings: Iterable[str] = (),
    trials: int | None = None,
    timeout: float | str | None = None,
    workers: int | None = None,
    ray: str | None = None,
    storage: str | None = None,
    observer: Observer | None = None,
) -> Results:
    """Continue a study: interrupted trials first, then what is left of its budget.

    Args:
        add, source, settings, trials: see :func:`tuner.amending.amend`.
        timeout: of this run, in place of the study's.
        workers, ray, storage, observer: see :func:`start`.

    Raises:
        TunerError: as :func:`tuner.amending.amend` and :func:`start`.
    """
    from tuner.amending import amend

    no_search_while_importing()
    seconds = seconds_of_run(timeout)
    before = load(name, storage=storage)
    with ready(before, workers=workers, ray=ray) as processes:
        results = amend(
            name,
            add=add,
            source=source,
            settings=settings,
            trials=trials,
            storage=storage,
            approve=lambda spec, changes: approve(before, spec, processes, workers=workers, changes=changes),
        )
        return go_on(results, workers=workers, timeout=seconds, processes=processes, observer=observer)


def join(
    name: str,
    *,
    workers: int | None = None,
    ray: str | None = None,
    storage: str | None = None,
    observer: Observer | None = None,
) -> Results:
    """Add workers to a study, which may be running elsewhere; see :func:`resume`."""
    no_search_while_importing()
    results = load(name, storage=storage)
    with ready(results, workers=workers, ray=ray) as processes:
        return go_on(results, workers=workers, processes=processes, observer=observer, joining=True)


def stored_spec(results: Results) -> StudySpec:
    """Return the spec the study was started with.

    Raises:
        UsageError: when another program created the study.
    """
    if results.spec is None:
        raise UsageError(
            f"study '{results.name}' was not started by tuner: there is no objective to run, it can only be looked at"
        )
    return results.spec


def _find(opened: SQLStorage, name: str) -> int:
    try:
        return opened.get_study_id_from_name(name)
    except KeyError:
        known = [study.study_name for study in opened.get_all_studies()]
        hint = nearest(name, known) or (f"; there are: {', '.join(known[:10])}" if known else "; there are none yet")
        raise StudyNotFoundError(f"there is no study '{name}' in {opened.safe_url}{hint}") from None


@contextmanager
def ready(results: Results, *, workers: int | None, ray: str | None) -> Iterator[Processes]:
    """Get processes ready for workers of a study, before anything of it is changed.

    Raises:
        UsageError: when another program created the study.
        TunerError: when the Ray cluster does not answer.
    """
    from tuner.workers.running import standby

    spec = stored_spec(results)
    url = results.storage.database.url.render_as_string(hide_password=False)
    with standby(spec, workers, ray=ray, url=url) as processes:
        yield processes


def approve(results: Results, spec: StudySpec, processes: Processes, *, workers: int | None, changes: bool) -> None:
    """See whether a study can go on as ``spec`` says, before anything that it ``changes`` is written.

    Raises:
        StudyConflictError: when its data is not what it was.
        TunerError: when its data cannot be read, or there is no place for its workers.
    """
    processes.places(spec, workers)
    if changes:
        kept = results.storage.get_study_user_attrs(results.study_id)
        processes.check(spec, {key: kept[key] for key in (attributes.DATA,) if key in kept})


def go_on(
    results: Results,
    *,
    workers: int | None,
    processes: Processes,
    observer: Observer | None,
    timeout: float | None = None,
    joining: bool = False,
) -> Results:
    """Run workers on a study as it stands; :func:`resume` and :func:`join` say what they do."""
    from tuner.workers.running import run

    if timeout is not None:  # not stored: later runs have the study's own, or none
        spec = stored_spec(results)
        results.spec = spec.model_copy(update={"budget": spec.budget.model_copy(update={"timeout": timeout})})
    run(results, workers=workers, observer=observer, joining=joining, processes=processes)
    _keep_best(results)
    return results


def _keep_best(results: Results) -> None:
    """Keep the best network, once the study's run is over, where its spec says so."""
    from tuner.models.cards import trials_told
    from tuner.models.keeping import keep_best

    kept = keep_best(results)
    if kept is not None:
        use = "" if kept.no_predictions else f": `tuner predict {shlex.quote(kept.name)} DATA` lets it answer new data"
        notes.info("kept as model '%s': %s%s", kept.name, trials_told(kept.trials), use)
