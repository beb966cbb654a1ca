"""Small questions about trials."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy import case, func, select

from storage import schema, studies
from storage.schema import ValueType

if TYPE_CHECKING:
    from sqlalchemy import Connection

_t = schema.trials.c


def head(connection: Connection, trial_id: int) -> tuple[int, TrialState]:
    """Return the trial's study id and state.

    Raises:
        KeyError: there is no such trial.
    """
    row = connection.execute(select(_t.study_id, _t.state).where(_t.trial_id == trial_id)).one_or_none()
    if row is None:
        raise KeyError(f"there is no trial with id {trial_id}")
    return row[0], row[1]


def trial_id_of(connection: Connection, study_id: int, number: int) -> int:
    """Return the id of the study's trial of that number.

    Raises:
        KeyError: there is no such trial.
    """
    query = select(_t.trial_id).where(_t.study_id == study_id, _t.number == number)
    trial_id = connection.execute(query).scalar()
    if trial_id is None:
        raise KeyError(f"there is no trial {number} in the study with id {study_id}")
    return int(trial_id)


def first_distribution(connection: Connection, study_id: int, name: str) -> str | None:
    """Return the JSON of the distribution that the study first used for the parameter."""
    params = schema.trial_params
    query = (
        select(params.c.distribution_json)
        .join_from(params, schema.trials, _t.trial_id == params.c.trial_id)
        .where(_t.study_id == study_id, params.c.param_name == name)
        .limit(1)
    )
    return connection.execute(query).scalar()


def count_by_state(connection: Connection, study_id: int) -> Counter[TrialState]:
    """Return how many trials are in each state.

    Raises:
        KeyError: there is no such study.
    """
    query = select(_t.state, func.count()).where(_t.study_id == study_id).group_by(_t.state)
    counts = Counter({row[0]: row[1] for row in connection.execute(query)})
    if not counts:
        studies.require(connection, study_id)
    return counts


def best_trial_id(connection: Connection, study_id: int, direction: StudyDirection) -> int | None:
    """Return the complete trial with the best first value, the earliest of equals; None if there is none."""
    v = schema.trial_values.c
    rank = case((v.value_type == ValueType.INF_NEG, -1), (v.value_type == ValueType.INF_POS, 1), else_=0)
    order = (rank, v.value) if direction is not StudyDirection.MAXIMIZE else (rank.desc(), v.value.desc())
    query = (
        select(_t.trial_id)
        .join_from(schema.trials, schema.trial_values, v.trial_id == _t.trial_id)
        .where(_t.study_id == study_id, _t.state == TrialState.COMPLETE, v.objective == 0)
        .order_by(*order, _t.trial_id)
        .limit(1)
    )
    return connection.execute(query).scalar()
