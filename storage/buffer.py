"""Trials held by this process: their state in memory, and what of it is not in the database yet."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import bindparam, select

from storage import bulk, direct, schema
from storage.bulk import Changes, Guard, Target
from storage.direct import Command, Shortcut
from storage.reading import chunks, stored_report, stored_value, to_utc
from storage.trial import copy_trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from sqlalchemy import Connection, Table

    from storage.engine import Database


@dataclass(kw_only=True)
class Unwritten:
    """What is to be written to one trial."""

    token: int | None = None  # None: the trial is not leased to us (plain Optuna's, say)
    params: dict[str, tuple[float, str]] = field(default_factory=dict)  # name: (internal value, distribution)
    reports: dict[int, float] = field(default_factory=dict)
    user_attrs: dict[str, str] = field(default_factory=dict)  # key: JSON
    system_attrs: dict[str, str] = field(default_factory=dict)  # key: JSON
    epochs: dict[int, str] = field(default_factory=dict)  # epoch: JSON
    checkpoints: dict[int, tuple[str, int, str]] = field(default_factory=dict)  # epoch: (uri, bytes, sha256)
    progressed: bool = False  # the workers that died with the trial are forgotten
    state: TrialState | None = None
    values: list[float] | None = None
    completed: datetime | None = None

    def before(self, later: Unwritten) -> Unwritten:
        """Return both as one; where both say something, the later one counts. Neither is changed."""
        told = later if later.state is not None else self
        return Unwritten(
            token=later.token if later.token is not None else self.token,
            params=self.params | later.params,
            reports=self.reports | later.reports,
            user_attrs=self.user_attrs | later.user_attrs,
            system_attrs=self.system_attrs | later.system_attrs,
            epochs=self.epochs | later.epochs,
            checkpoints=self.checkpoints | later.checkpoints,
            progressed=self.progressed or later.progressed,
            state=told.state,
            values=told.values,
            completed=told.completed,
        )


class HeldTrial:
    """A trial leased to this storage object. Memory is the truth about it: nobody else may write to it."""

    def __init__(self, trial: FrozenTrial, study_id: int, token: int, losses: int = 0) -> None:
        self.study_id = study_id
        self.token = token
        self.losses = losses  # workers that ended with it since its last checkpoint
        self._trial = trial  # its containers are ours alone
        self._shared: FrozenTrial | None = None

    @property
    def trial_id(self) -> int:
        return self._trial._trial_id

    @property
    def number(self) -> int:
        return self._trial.number

    @property
    def state(self) -> TrialState:
        return self._trial.state

    def snapshot(self) -> FrozenTrial:
        """Return the trial as it is now; later writes do not show in it."""
        if self._shared is None:
            self._shared = copy_trial(self._trial)
        return self._shared

    def copy(self) -> FrozenTrial:
        """Return the trial as it is now, for a caller who will change it (Optuna's Trial does)."""
        return copy_trial(self._trial)

    def system_attrs(self) -> dict[str, Any]:
        """Return the attributes as they are now, in a dictionary of the caller's."""
        return dict(self._trial._system_attrs)

    def set_param(self, name: str, value: float, distribution: BaseDistribution) -> None:
        self._shared = None
        self._trial.params[name] = distribution.to_external_repr(value)
        self._trial.distributions[name] = distribution

    def set_report(self, step: int, value: float) -> None:
        self._shared = None
        self._trial.intermediate_values[step] = value

    def set_user_attr(self, key: str, text: str) -> None:
        """Keep an attribute as it will be read again, given its JSON."""
        self._shared = None
        self._trial.user_attrs[key] = json.loads(text)

    def set_system_attr(self, key: str, text: str) -> None:
        self._shared = None
        self._trial.system_attrs[key] = json.loads(text)

    def tell(self, state: TrialState, values: Sequence[float] | None, completed: datetime) -> None:
        self._shared = None
        self._trial.state = state
        self._trial._values = None if values is None else list(values)
        self._trial.datetime_complete = completed

    def untell(self) -> None:
        """Forget the end: the database refused it."""
        self._shared = None
        self._trial.state, self._trial._values, self._trial.datetime_complete = TrialState.RUNNING, None, None

    def rewind(self, step: int | None) -> None:
        """Forget the reports after the step, or all of them."""
        self._shared = None
        kept = {s: v for s, v in self._trial.intermediate_values.items() if step is not None and s <= step}
        self._trial.intermediate_values = kept


def write(database: Database, connection: Connection, pending: Mapping[int, Unwritten]) -> tuple[set[int], set[int]]:
    """Write what is pending and return the trials whose lease was lost, and those found finished.

    The lease and trial rows are locked first, so that a trial that moved on meanwhile gets nothing at all,
    and the others everything. Writing twice is the same as once: a commit whose answer never came is repeated.
    """
    held, lost, finished = _lock(connection, pending)
    if not held:
        return lost, finished
    database.nothing_more_is_read(connection)
    bulk.write(connection, _changes({trial_id: pending[trial_id] for trial_id in held}))
    return lost, finished


def shortcut(pending: Callable[[], Mapping[int, Unwritten]], *, durable: bool) -> Shortcut[tuple[set[int], set[int]]]:
    """Return :func:`write` for the case that every trial is leased, still held, and its rows are new."""

    def commands() -> tuple[Command]:
        changes = pending()
        tokens = {trial_id: entry.token for trial_id, entry in changes.items() if entry.token is not None}
        fence = {"trials": direct.array(tokens), "tokens": direct.array(tokens.values()), "all": len(tokens)}
        guard = Guard(query=_lock_all_held(durable, alone=len(tokens) == 1), values=fence)
        return (bulk.all_at_once(_changes(changes), guard),)

    return Shortcut(commands=commands, result=lambda rows: (set(), set()) if rows[0][0] else None)


def give_params(connection: Connection, params: Mapping[int, Mapping[str, tuple[Any, BaseDistribution]]]) -> None:
    """Write parameters of trials in whatever state, values as they are outside of the database."""
    rows: list[bulk.Row] = [
        (trial_id, name, distribution.to_internal_repr(value), distribution_json(distribution))
        for trial_id, given in params.items()
        for name, (value, distribution) in given.items()
    ]
    bulk.write(connection, [(_TARGETS["params"], rows)])


def _changes(pending: Mapping[int, Unwritten]) -> Changes:
    rows: dict[str, list[bulk.Row]] = {name: [] for name in _TARGETS}
    for trial_id, entry in sorted(pending.items()):
        _collect(rows, trial_id, entry)
    return [(target, rows[name]) for name, target in _TARGETS.items()]


def _attributes(table: Table) -> Target:
    return Target(table=table, keys=("trial_id", "key"), columns=("trial_id", "key", "value_json"))


_TARGETS = {
    "params": Target(
        table=schema.trial_params,
        keys=("trial_id", "param_name"),
        columns=("trial_id", "param_name", "param_value", "distribution_json"),
        once=True,
    ),
    "reports": Target(
        table=schema.trial_intermediate_values,
        keys=("trial_id", "step"),
        columns=("trial_id", "step", "intermediate_value", "intermediate_value_type"),
        once=True,
    ),
    "user_attrs": _attributes(schema.trial_user_attributes),
    "system_attrs": _attributes(schema.trial_system_attributes),
    "values": Target(
        table=schema.trial_values,
        keys=("trial_id", "objective"),
        columns=("trial_id", "objective", "value", "value_type"),
        once=True,
    ),
    "epochs": Target(
        table=schema.tuner_epochs,
        keys=("trial_id", "epoch"),
        columns=("trial_id", "epoch", "values_json"),
        once=True,
    ),
    "checkpoints": Target(
        table=schema.tuner_checkpoints,
        keys=("trial_id", "epoch"),
        columns=("trial_id", "epoch", "uri", "bytes", "sha256"),
        once=True,
    ),
    "told": Target(
        table=schema.trials, keys=("trial_id",), columns=("trial_id", "state", "datetime_complete"), exists=True
    ),
    "ended": Target(table=schema.tuner_leases, keys=("trial_id",), columns=("trial_id", "expires"), exists=True),
    "progressed": Target(
        table=schema.tuner_leases, keys=("trial_id",), columns=("trial_id", "losses", "vanished"), exists=True
    ),
}

_trials, _leases = schema.trials, schema.tuner_leases
_ALONE = (
    select(_trials.c.trial_id, _trials.c.state)
    .where(_trials.c.trial_id.in_(bindparam("ids", expanding=True)))
    .order_by(_trials.c.trial_id)
    .with_for_update()
)
_WITH_TOKEN = _ALONE.add_columns(_leases.c.token).join_from(_trials, _leases, _leases.c.trial_id == _trials.c.trial_id)


@functools.cache
def _lock_all_held(durable: bool, *, alone: bool) -> str:
    # A row that another transaction holds is waited for and looked at again as that one left it: what counts is what
    # is true once all are locked. The ids are there thrice because PostgreSQL cannot guess that they are few.
    among = bulk.among("CAST(%(trials)s AS integer[])", alone=alone)
    # as engine's SET LOCAL: until the statement's own transaction has ended
    lazily = "" if durable else " AND set_config('synchronous_commit', 'off', true) = 'off'"
    return f"""
        SELECT count(*) = %(all)s{lazily} AS holds FROM (
            SELECT trials.trial_id
            FROM unnest(CAST(%(trials)s AS integer[]), CAST(%(tokens)s AS bigint[])) AS mine(trial_id, token)
            JOIN tuner_leases ON tuner_leases.trial_id = mine.trial_id AND tuner_leases.token = mine.token
            JOIN trials ON trials.trial_id = mine.trial_id
            WHERE trials.trial_id = {among}
              AND tuner_leases.trial_id = {among}
              AND trials.state IN ('RUNNING', 'WAITING')
            ORDER BY trials.trial_id
            FOR UPDATE OF trials, tuner_leases
        ) AS held
    """  # noqa: S608 nothing in it comes from outside


def _lock(connection: Connection, pending: Mapping[int, Unwritten]) -> tuple[list[int], set[int], set[int]]:
    """Lock the trials' rows; return those that may be written, the lost ones, and those already finished."""
    found: dict[int, tuple[TrialState, int | None]] = {}
    fenced = [trial_id for trial_id, entry in pending.items() if entry.token is not None]
    for chunk in chunks(fenced):
        for trial_id, state, token in connection.execute(_WITH_TOKEN, {"ids": chunk}):
            found[trial_id] = (state, token)
    for chunk in chunks(set(pending).difference(fenced)):
        for trial_id, state in connection.execute(_ALONE, {"ids": chunk}):
            found[trial_id] = (state, None)
    held: list[int] = []
    lost: set[int] = set()
    finished: set[int] = set()
    for trial_id, entry in sorted(pending.items()):
        trial_state, token = found.get(trial_id, (None, None))
        if (entry.token is not None and token != entry.token) or trial_state is None:
            lost.add(trial_id)
        elif not trial_state.is_finished():
            held.append(trial_id)
        elif entry.token is None:
            finished.add(trial_id)
        elif trial_state is not entry.state:
            lost.add(trial_id)
        # else ours and finished as told: an earlier try got through, and only its answer was lost
    return held, lost, finished


def _collect(rows: dict[str, list[bulk.Row]], trial_id: int, entry: Unwritten) -> None:
    """Add the rows of a trial, each in the order of its target's columns."""
    rows["params"] += [(trial_id, name, value, text) for name, (value, text) in entry.params.items()]
    rows["reports"] += [(trial_id, step, *stored_report(value)) for step, value in entry.reports.items()]
    rows["user_attrs"] += [(trial_id, key, text) for key, text in entry.user_attrs.items()]
    rows["system_attrs"] += [(trial_id, key, text) for key, text in entry.system_attrs.items()]
    rows["values"] += [(trial_id, place, *stored_value(value)) for place, value in enumerate(entry.values or ())]
    rows["epochs"] += [(trial_id, epoch, text) for epoch, text in entry.epochs.items()]
    rows["checkpoints"] += [(trial_id, epoch, *where) for epoch, where in entry.checkpoints.items()]
    if entry.state is not None:
        rows["told"].append((trial_id, entry.state, to_utc(entry.completed)))
        if entry.token is not None:
            rows["ended"].append((trial_id, None))
    elif entry.progressed:  # PostgreSQL updates a row once a statement
        rows["progressed"].append((trial_id, 0, 0))


def to_json(value: Any) -> str:
    """Return the JSON that Optuna stores for an attribute; NaN and infinity are allowed, as in Optuna."""
    return json.dumps(value)


def distribution_json(distribution: BaseDistribution) -> str:
    """Return the JSON that Optuna stores for a distribution."""
    return distribution_to_json(distribution)
