"""Reading trials: rows of Optuna's tables to FrozenTrials."""

from __future__ import annotations

import functools
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import select

from storage import schema
from storage.schema import ReportType, ValueType
from storage.trial import StoredTrial

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Select, Table

_Row = Sequence[Any]
_Rows = Sequence[_Row]

_FINITE = ReportType.FINITE
_CHUNK = 500  # ids in one IN (...): far below every database's limit on bound values


def to_utc(moment: datetime | None) -> datetime | None:
    """Return the naive UTC time that is stored for a naive local one."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)


def to_local(moment: datetime | None) -> datetime | None:
    """Return the naive local time that Optuna shows for a stored naive UTC one."""
    return None if moment is None else moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


@functools.lru_cache(maxsize=4096)
def to_distribution(text: str) -> BaseDistribution:
    """Return the distribution; equal texts share one object, which nobody may change."""
    return json_to_distribution(text)


def stored_value(value: float) -> tuple[float | None, ValueType]:
    """Return how Optuna stores an objective value."""
    if math.isinf(value):
        return None, ValueType.INF_POS if value > 0 else ValueType.INF_NEG
    return value, ValueType.FINITE


def stored_report(value: float) -> tuple[float | None, ReportType]:
    """Return how Optuna stores an intermediate value."""
    if math.isfinite(value):  # one question for what is asked of every report
        return value, _FINITE
    if math.isnan(value):
        return None, ReportType.NAN
    return None, ReportType.INF_POS if value > 0 else ReportType.INF_NEG


_SPECIAL = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}


def loaded_value(value: float | None, kind: ValueType | ReportType) -> float:
    """Return the number that is stored as value and kind."""
    return _SPECIAL[kind.name] if value is None else value


def chunks(ids: Iterable[int]) -> Iterator[list[int]]:
    """Yield the ids in order, as many at a time as one statement takes."""
    ordered = sorted(ids)
    for start in range(0, len(ordered), _CHUNK):
        yield ordered[start : start + _CHUNK]


def load_trials(connection: Connection, trial_ids: Iterable[int]) -> list[FrozenTrial]:
    """Return the trials that exist among the ids, sorted by id."""
    return [
        trial
        for chunk in chunks(trial_ids)
        for trial in _load(
            connection, schema.trials.c.trial_id.in_(chunk), lambda table, ids=chunk: table.c.trial_id.in_(ids)
        )
    ]


def load_study(connection: Connection, study_id: int) -> list[FrozenTrial]:
    """Return all trials of the study, sorted by id."""
    of_study = schema.trials.c.study_id == study_id
    ids = select(schema.trials.c.trial_id).where(of_study).scalar_subquery()
    return _load(connection, of_study, lambda table: table.c.trial_id.in_(ids))


def _load(connection: Connection, which: ColumnElement[bool], belongs: Any) -> list[FrozenTrial]:
    t = schema.trials.c
    heads = connection.execute(
        select(t.trial_id, t.number, t.state, t.datetime_start, t.datetime_complete).where(which).order_by(t.trial_id)
    ).all()
    if not heads:
        return []

    def details(table: Table, *columns: str, order: str | None = None) -> dict[int, list[_Row]]:
        query: Select[Any] = select(table.c.trial_id, *(table.c[name] for name in columns)).where(belongs(table))
        if order is not None:
            query = query.order_by(table.c[order])
        rows: dict[int, list[_Row]] = defaultdict(list)
        for row in connection.execute(query):
            rows[row[0]].append(row)
        return rows

    values = details(schema.trial_values, "value", "value_type", order="objective")
    params = details(schema.trial_params, "param_name", "param_value", "distribution_json", order="param_id")
    users = details(schema.trial_user_attributes, "key", "value_json")
    systems = details(schema.trial_system_attributes, "key", "value_json")
    reports = details(
        schema.trial_intermediate_values, "step", "intermediate_value", "intermediate_value_type", order="step"
    )
    return [_build(head, *(rows[head[0]] for rows in (values, params, users, systems, reports))) for head in heads]


def _build(head: _Row, values: _Rows, params: _Rows, users: _Rows, systems: _Rows, reports: _Rows) -> FrozenTrial:  # noqa: PLR0917
    trial_id, number, state, start, complete = head
    distributions = {name: to_distribution(text) for _, name, _, text in params}
    return StoredTrial(
        number=number,
        state=TrialState(state),
        value=None,
        values=[loaded_value(value, kind) for _, value, kind in values] or None,
        datetime_start=to_local(start),
        datetime_complete=to_local(complete),
        params={name: distributions[name].to_external_repr(value) for _, name, value, _ in params},
        distributions=distributions,
        user_attrs={key: json.loads(text) for _, key, text in users},
        system_attrs={key: json.loads(text) for _, key, text in systems},
        intermediate_values={step: loaded_value(value, kind) for _, step, value, kind in reports},
        trial_id=trial_id,
    )
