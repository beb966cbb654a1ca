"""What may change of a study that has begun: its budget, and its space where it becomes wider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tuner import attributes
from tuner.errors import StudyConflictError, UsageError
from tuner.results import Results
from tuner.sources import read_spec
from tuner.study import load, stored_spec

if TYPE_CHECKING:
    from storage import Amended
    from tuner.spec import StudySpec


def amend(
    name: str,
    *,
    add: int | None = None,
    source: str | None = None,
    settings: Iterable[str] = (),
    trials: int | None = None,
    timeout: float | str | None = None,
    storage: str | None = None,
) -> Results:
    """Change what may change of a study, its budget and its space, without running it.

    Args:
        add: raises the budget by so many trials.
        source: a study file that must agree with the stored study but for budget and a wider space.
        settings: ``table.key=value`` overrides of the stored study, under the same rule.
        trials, timeout: replace the study's.
        storage: see :func:`tuner.study.start`.

    Raises:
        StudyNotFoundError: when the storage has no study of that name.
        StudyConflictError: when ``source`` or ``settings`` differ in what may not change.
        UsageError: for a budget that is none.
    """
    results = load(name, storage=storage)
    changes = {"budget.trials": trials, "budget.timeout": timeout}
    stored = stored_spec(results)
    url = results.storage.database.url.render_as_string(hide_password=False)
    spec = _changed(stored, source, list(settings), changes, url)
    begun = results.storage.get_n_trials(results.study_id)
    if add is not None and trials is not None:
        raise UsageError(f"--add {add} and --trials {trials} exclude each other; give one")
    if add is not None and add < 1:
        raise UsageError(f"--add {add}: the number of trials to add must be at least 1")
    if trials is not None and trials < begun:
        raise UsageError(f"--trials {trials}: study '{name}' has {begun} trials already; --add N gives it N more")
    if spec != stored or add is not None:
        results.storage.amend_study(results.study_id, lambda budget: _amended(spec, budget, begun, add))
    return Results(results.storage, name, results.study_id)


def _amended(spec: StudySpec, budget: int | None, begun: int, add: int | None) -> Amended:
    from storage import Amended

    if add is not None:
        trials = (begun if budget is None else budget) + add
        spec = spec.model_copy(update={"budget": spec.budget.model_copy(update={"trials": trials})})
    return Amended(user_attrs={attributes.SPEC: spec.model_dump(mode="json")}, budget=spec.budget.trials)


def _changed(
    stored: StudySpec, source: str | None, settings: list[str], changes: Mapping[str, Any], url: str
) -> StudySpec:
    """Return the stored spec with what a person changed, or refuse what may not change."""
    from tuner import study_file
    from tuner.models import naming
    from tuner.preparation import resolved
    from tuner.spec import differences, parse_spec

    given = {key: value for key, value in changes.items() if value is not None}
    if source is None and not settings:
        values = stored.model_dump(mode="json")
        for key, value in given.items():
            table, _, last = key.rpartition(".")
            values[table][last] = value
        return parse_spec(values, where="the stored study")
    if source is not None:
        new, where = read_spec(source, settings=settings, changes={**given, "name": stored.name})
    else:
        written = study_file.override(stored.model_dump(mode="json"), settings)
        for key, value in given.items():
            table, _, last = key.rpartition(".")
            written[table][last] = value
        where = "what -S sets"
        new = parse_spec(written, where=where)
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
