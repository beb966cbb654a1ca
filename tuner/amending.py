"""What may change of a study that has begun: its budget, its space where it becomes wider, and where its trials run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from tuner import attributes
from tuner.errors import StudyConflictError, UsageError
from tuner.results import Results
from tuner.sources import read_spec
from tuner.study import load, stored_spec

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from storage import Amended
    from tuner.spec import StudySpec

Held = dict[int, dict[str, tuple[Any, "BaseDistribution"]]]


def amend(
    name: str,
    *,
    add: int | None = None,
    source: str | None = None,
    settings: Iterable[str] = (),
    trials: int | None = None,
    storage: str | None = None,
    approve: Callable[[StudySpec, bool], object] | None = None,
) -> Results:
    """Change what may change of a study (see :data:`tuner.spec.SAFE_TO_CHANGE`), without running it.

    Others may do so at the same time: what they change stays, where it is not changed here.

    Args:
        add: raises the budget by so many trials.
        source: a study file that must agree with the stored study but for what may change.
        settings: ``table.key=value`` overrides of the stored study, under the same rule.
        trials: replaces the study's.
        storage: see :func:`tuner.study.start`.
        approve: is called before anything is written, with the changed spec and whether anything changes; it may raise.

    Raises:
        StudyNotFoundError: when the storage has no study of that name.
        StudyConflictError: when ``source`` or ``settings`` differ in what may not change.
        UsageError: for a budget that is none.
    """
    if add is not None and trials is not None:
        raise UsageError(f"--add {add} and --trials {trials} exclude each other; give one")
    if add is not None and add < 1:
        raise UsageError(f"--add {add}: the number of trials to add must be at least 1")
    results = load(name, storage=storage)
    stored = stored_spec(results)
    url = results.storage.database.url.render_as_string(hide_password=False)
    change = partial(_changed, source=source, settings=list(settings), trials=trials, url=url)
    changed = change(stored)  # what takes long, importing an objective, is over before the study is locked
    changes = changed != stored or add is not None or trials is not None
    if approve is not None:
        approve(changed, changes)
    begun = results.storage.get_n_trials(results.study_id)
    held = _held_so_far(results, stored, changed) if changed.space != stored.space else {}

    def amended(budget: int | None, kept: Mapping[str, Any]) -> Amended:
        from storage import Amended

        now = attributes.stored_spec(kept[attributes.SPEC], name)
        if held and now.space != stored.space:
            raise UsageError(f"somebody else has just changed the space of study '{name}'; look at it, and try again")
        new = changed if now == stored else change(now)
        if add is not None:
            budget = (begun if budget is None else budget) + add
            new = _with_trials(new, budget)
        elif trials is not None or new.budget.trials != now.budget.trials:
            budget = new.budget.trials
            if budget is not None and budget < begun:
                said = f"--trials {budget}" if trials is not None else f"[budget] trials = {budget}"
                raise UsageError(f"{said}: study '{name}' has {begun} trials already; --add N gives it N more")
        return Amended(user_attrs={attributes.SPEC: new.model_dump(mode="json")}, budget=budget, params=held)

    if changes:
        results.storage.amend_study(results.study_id, amended)
    return Results(results.storage, name, results.study_id)


def _held_so_far(results: Results, stored: StudySpec, changed: StudySpec) -> Held:
    """Return what trials held of the values that were fixed and are now searched, by the trials' ids.

    It is written down as their parameters: samplers learn from it, and who trains a trial again has it.

    Raises:
        UsageError: when workers are at work, whose next trials would not say what they hold.
    """
    from optuna.trial import TrialState

    from tuner.preparation import resolved
    from tuner.space import Fixed
    from tuner.workers.running import free_the_dead

    old, new = (resolved(spec, where="the stored study")[1] for spec in (stored, changed))
    if old is None or new is None:
        return {}
    freed = {name: p.distribution() for name, p in new.searched.items() if isinstance(old.parameters[name], Fixed)}
    if freed:
        free_the_dead(results)
    if freed and results.storage.list_workers(results.study_id):
        raise UsageError(
            f"space.{next(iter(freed))} is fixed for the workers that are at work on study '{results.name}'; "
            f"`tuner stop {results.name}` lets them leave, then it may be searched"
        )
    held: Held = {}
    for trial in results.storage.get_all_trials(results.study_id, deepcopy=False) if freed else ():
        if trial.state is TrialState.WAITING and not trial.params and not results.storage.epochs(trial._trial_id):
            continue  # it has not begun
        try:
            values = old.configuration(trial.params, f"trial {trial.number}")
        except UsageError:  # another program's, which says nothing of the rest
            continue
        held[trial._trial_id] = {
            name: (new[name].take(values[name]), distribution)
            for name, distribution in freed.items()
            if name in values and name not in trial.params
        }
    return held


def _with_trials(spec: StudySpec, trials: int | None) -> StudySpec:
    return spec.model_copy(update={"budget": spec.budget.model_copy(update={"trials": trials})})


def _changed(stored: StudySpec, *, source: str | None, settings: list[str], trials: int | None, url: str) -> StudySpec:
    """Return the stored spec with what a person changed, or refuse what may not change."""
    from tuner import study_file
    from tuner.models import naming
    from tuner.preparation import resolved
    from tuner.spec import differences, parse_spec

    if source is None:
        where = "what -S sets" if settings else "the stored study"
        written = study_file.override(stored.model_dump(mode="json"), settings)
        if trials is not None:
            written["budget"]["trials"] = trials
        new = parse_spec(written, where=where)
        if not settings:
            return new
    else:
        changes = {"budget.trials": trials, "name": stored.name}
        new, where = read_spec(source, settings=settings, changes=changes)
        if "trials" not in new.budget.model_fields_set:  # a file that does not speak of them changes nothing
            new = _with_trials(new, stored.budget.trials)
    new, new_space = resolved(naming.located(new, url), where=where)
    _, old_space = resolved(stored, where="the stored study")
    from tuner.space import widened

    lines = differences(stored, new) + (widened(old_space, new_space) if old_space and new_space else [])
    if lines:
        raise StudyConflictError(
            f"{where} differs from the stored study '{stored.name}': "
            + "; ".join(lines)
            + "; start it under another --name"
        )
    return new
