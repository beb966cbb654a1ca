"""Who works on which trial: claims, renewals, releases and take-overs, each one unit of work in SQL.

A held trial is RUNNING with a token and an expiry in ``tuner_leases``. A released or expired one is WAITING
again, with its parameters and reports: that is the truth about it for every reader, no sampler takes it for
running, and whoever asks next, plain Optuna included, continues it under its number.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import (
    BigInteger,
    Double,
    Integer,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    text,
    update,
)

from storage import postgresql, schema
from storage.reading import chunks, to_utc

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Insert, Select

    from storage.engine import Database

_trials, _leases = schema.trials, schema.tuner_leases
_studies, _ours = schema.studies, schema.tuner_studies


_STUDY_AND_OURS = (
    select(_studies.c.study_id, _ours.c.budget, _ours.c.stop_requested, _ours.c.folder)
    .join_from(_studies, _ours, _ours.c.study_id == _studies.c.study_id, isouter=True)
    .where(_studies.c.study_id == bindparam("study"))
)
_LOCK_STUDY = _STUDY_AND_OURS.with_for_update(key_share=True, of=_studies)
_LOCK_WHOLE = _STUDY_AND_OURS.with_for_update()
_WAITS = text("trials.state = 'WAITING' AND trials.state IN ('RUNNING', 'WAITING')")  # word for word as in the index
_WAITING = (
    select(_trials.c.trial_id).where(_trials.c.study_id == bindparam("study"), _WAITS).order_by(_trials.c.trial_id)
)
_LAST_TRIAL = (
    select(_trials.c.trial_id, _trials.c.number)
    .where(_trials.c.study_id == bindparam("study"), _trials.c.trial_id > bindparam("past"))
    .order_by(_trials.c.trial_id.desc())
    .limit(literal_column("1"))
)
_TRIALS_PAST = (
    select(_trials.c.trial_id, _trials.c.number)
    .where(_trials.c.study_id == bindparam("study"), _trials.c.trial_id > bindparam("past"))
    .order_by(_trials.c.trial_id)
)


_INSERT_RETURNING = insert(_trials).returning(_trials.c.trial_id, _trials.c.number)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """On whose behalf trials are claimed."""

    token: int
    seconds: float  # how long a lease lasts unless renewed
    worker_id: int | None


def new_token() -> int:
    """Return a token that no other claim has: 62 random bits, so that reused row ids cannot revive one."""
    return secrets.randbits(62)


class LockedStudy(NamedTuple):
    """What the next claim goes by."""

    budget: int | None
    stop: bool
    key: str | None
    """The study's own among all that ever had its id, once it has one; see :func:`storage.studies.folder`."""


def lock_study(connection: Connection, study_id: int) -> LockedStudy:
    """Lock the study against other claims, plain Optuna's included.

    Raises:
        KeyError: there is no such study.
    """
    query = _LOCK_WHOLE if connection.dialect.name == "mysql" else _LOCK_STUDY
    row = connection.execute(query, {"study": study_id}).one_or_none()
    if row is None:
        raise KeyError(f"there is no study with id {study_id}")
    return LockedStudy(row[1], row[2] is not None, row[3])


def recall(connection: Connection, token: int) -> set[int]:
    """Return the trials that a claim of this token took, in case its commit's answer was lost."""
    return set(connection.execute(select(_leases.c.trial_id).where(_leases.c.token == token)).scalars())


def expire(database: Database, connection: Connection, study_id: int, spared: Collection[int]) -> None:
    """Turn trials whose lease has run out into waiting ones, except the caller's own."""
    found = connection.execute(database.statement(_expired), {"study": study_id}).scalars()
    expired = [trial_id for trial_id in found if trial_id not in spared]
    set_free(connection, expired)
    _note(connection, expired, {"vanished": _leases.c.vanished + 1})


def _expired(now: ColumnElement[float]) -> Select[Any]:
    return (
        select(_leases.c.trial_id)
        .where(_leases.c.study_id == bindparam("study"), _leases.c.expires.is_not(None), _leases.c.expires < now)
        .order_by(_leases.c.trial_id)
        .with_for_update(skip_locked=True)  # a locked one is being written by a living owner
    )


def any_expired(database: Database, connection: Connection, study_id: int) -> bool:
    """Return whether a lease of the study has run out."""
    return connection.execute(database.statement(_any_expired), {"study": study_id}).first() is not None


def _any_expired(now: ColumnElement[float]) -> Select[Any]:
    held = (_leases.c.study_id == bindparam("study")) & _leases.c.expires.is_not(None)  # the clock itself uses no index
    return select(_leases.c.trial_id).where(held, _leases.c.expires < now).limit(literal_column("1"))


def count_held(database: Database, connection: Connection, study_id: int) -> int:
    """Return how many trials of the study are held by leases that last."""
    query = select(func.count()).where(_leases.c.study_id == study_id, _leases.c.expires >= database.now())
    return int(connection.execute(query).scalar_one())


_UNFINISHED = (
    select(func.count())
    .select_from(
        _trials.outerjoin(_leases, _leases.c.trial_id == _trials.c.trial_id).outerjoin(
            _ours, _ours.c.study_id == _trials.c.study_id
        )
    )
    .where(
        _trials.c.study_id == bindparam("study"),
        text("trials.state IN ('RUNNING', 'WAITING')"),  # word for word as in the index
        _leases.c.expires.is_not(None)
        | ((_trials.c.state == TrialState.WAITING) & (_ours.c.budget.is_(None) | (_trials.c.number < _ours.c.budget))),
    )
)


def count_unfinished(connection: Connection, study_id: int) -> int:
    """Return how many trials of the study's budget wait or have a lease, expired or not, in one look.

    Between two looks a trial could pass from one to the other, unseen by both.
    """
    return int(connection.execute(_UNFINISHED, {"study": study_id}).scalar_one())


def set_free(connection: Connection, trial_ids: Collection[int], leased: bool = True) -> None:
    """Take the leases away and let the trials wait."""
    for chunk in chunks(trial_ids):
        if leased:
            connection.execute(update(_leases).where(_leases.c.trial_id.in_(chunk)).values(token=None, expires=None))
        connection.execute(
            update(_trials)
            .where(_trials.c.trial_id.in_(chunk), _trials.c.state == TrialState.RUNNING)
            .values(state=TrialState.WAITING)
        )


def note_loss(connection: Connection, trial_ids: Collection[int], how: str) -> None:
    """Note that the holder of these trials has died, and how."""
    _note(connection, trial_ids, {"losses": _leases.c.losses + 1, "lost_by": how})


def _note(connection: Connection, trial_ids: Collection[int], values: dict[str, Any]) -> None:
    for chunk in chunks(trial_ids):
        connection.execute(update(_leases).where(_leases.c.trial_id.in_(chunk)).values(values))


class Losses(NamedTuple):
    """What became of a trial's holders since its last checkpoint; see :class:`storage.Claim`."""

    losses: int = 0
    lost_by: str = ""
    vanished: int = 0


def losses(connection: Connection, trial_ids: Collection[int]) -> dict[int, Losses]:
    """Return the losses of those of the trials that have any."""
    lease = _leases.c
    query = select(lease.trial_id, lease.losses, lease.lost_by, lease.vanished)
    any_of = (lease.losses > 0) | (lease.vanished > 0)
    found = connection.execute(query.where(lease.trial_id.in_(list(trial_ids)), any_of))
    return {row[0]: Losses(row[1], row[2] or "", row[3]) for row in found}


def waiting(connection: Connection, study_id: int, below: int | None, limit: int) -> list[tuple[int, bool]]:
    """Return (trial id, begun before) of waiting trials: interrupted ones first, then by id.

    Only numbers ``below`` the study's budget count.
    """
    begun = _leases.c.attempt.is_not(None)
    query = (
        select(_trials.c.trial_id, begun)
        .join_from(_trials, _leases, _leases.c.trial_id == _trials.c.trial_id, isouter=True)
        .where(_trials.c.study_id == study_id, _WAITS)
        .order_by(begun.desc(), _trials.c.trial_id)
        .limit(limit)
    )
    if below is not None:
        query = query.where(_trials.c.number < below)
    return [(row[0], bool(row[1])) for row in connection.execute(query)]


def waiting_ids(connection: Connection, study_id: int) -> list[int]:
    """Return the ids of the waiting trials, at a cost that depends on them alone."""
    if connection.dialect.name == "postgresql":
        return postgresql.waiting_ids(connection, study_id)
    return list(connection.execute(_WAITING, {"study": study_id}).scalars())


def take_waiting(database: Database, connection: Connection, trial_ids: Collection[int], terms: Terms) -> list[int]:
    """Lease those of the trials that are still waiting, and return them."""
    taken = list(
        connection.execute(
            select(_trials.c.trial_id)
            .where(_trials.c.trial_id.in_(list(trial_ids)), _WAITS)
            .order_by(_trials.c.trial_id)
            .with_for_update(skip_locked=True)
        ).scalars()
    )
    if taken:
        connection.execute(
            update(_trials)
            .where(_trials.c.trial_id.in_(taken))
            .values(state=TrialState.RUNNING, datetime_start=to_utc(datetime.now()))
        )
        _lease(database, connection, taken, terms)
    return taken


@dataclass(frozen=True, kw_only=True)
class New:
    """Trials to be added."""

    study_id: int
    count: int
    below: int | None  # no number reaches the budget; None: no end
    start: datetime | None
    known: tuple[int, int]  # (id, number) of the last trial of the study that is known


def add(connection: Connection, new: New) -> dict[int, int]:
    """Insert running trials and return {trial id: number}; the study must be locked."""
    last_id, last_number = _last_trial(connection, new.study_id, new.known)
    end = last_number + 1 + new.count
    start = to_utc(new.start)
    rows = [
        {"study_id": new.study_id, "number": number, "state": TrialState.RUNNING, "datetime_start": start}
        for number in range(last_number + 1, end if new.below is None else min(end, new.below))
    ]
    if not rows:
        return {}
    if connection.dialect.insert_executemany_returning:
        added = connection.execute(_INSERT_RETURNING, rows)
    else:
        connection.execute(insert(_trials), rows)
        added = connection.execute(_TRIALS_PAST, {"study": new.study_id, "past": last_id})
    return {row[0]: row[1] for row in added}


def add_and_lease(database: Database, connection: Connection, new: New, terms: Terms) -> dict[int, int]:
    """Insert running trials with leases and return {trial id: number}; the study must be locked."""
    if database.dialect != "postgresql":
        numbers = add(connection, new)
        if numbers:
            first_lease(database, connection, numbers, terms)
        return numbers
    return postgresql.add_and_lease(database, connection, new, terms)


def settle_template(connection: Connection, trial_id: int, template: FrozenTrial) -> None:
    """Give a trial that was inserted as running the state and end of its template."""
    connection.execute(
        update(_trials)
        .where(_trials.c.trial_id == trial_id)
        .values(state=template.state, datetime_complete=to_utc(template.datetime_complete))
    )


def _last_trial(connection: Connection, study_id: int, known: tuple[int, int]) -> tuple[int, int]:
    """Return (id, number) of the study's last trial, looking only past the one that is known."""
    row = connection.execute(_LAST_TRIAL, {"study": study_id, "past": known[0]}).one_or_none()
    return known if row is None else (row[0], row[1])


def first_lease(database: Database, connection: Connection, trial_ids: Collection[int], terms: Terms) -> None:
    """Write leases of new trials."""
    of_all = {"worker": terms.worker_id, "token": terms.token, "seconds": terms.seconds}
    for chunk in chunks(trial_ids):
        connection.execute(database.statement(_insert_leases), {"ids": chunk, **of_all})


def _insert_leases(now: ColumnElement[float]) -> Insert:
    row = select(
        _trials.c.trial_id,
        _trials.c.study_id,
        bindparam("worker", type_=Integer()),
        bindparam("token", type_=BigInteger()),
        literal_column("1"),
        now + bindparam("seconds", type_=Double()),
    ).where(_trials.c.trial_id.in_(bindparam("ids", expanding=True)))
    return insert(_leases).from_select(["trial_id", "study_id", "worker_id", "token", "attempt", "expires"], row)


def _lease(database: Database, connection: Connection, trial_ids: Collection[int], terms: Terms) -> None:
    """Write leases under the terms' token."""
    query = select(_leases.c.trial_id).where(_leases.c.trial_id.in_(list(trial_ids)))
    begun = set(connection.execute(query).scalars())
    if begun:
        connection.execute(
            update(_leases)
            .where(_leases.c.trial_id.in_(list(begun)))
            .values(
                worker_id=terms.worker_id,
                token=terms.token,
                attempt=_leases.c.attempt + 1,
                expires=database.now() + terms.seconds,
            )
        )
    fresh = [trial_id for trial_id in trial_ids if trial_id not in begun]
    if fresh:
        first_lease(database, connection, fresh, terms)


def seconds_now(database: Database, connection: Connection) -> float:
    """Return the database's time, in seconds since 1970."""
    return float(connection.execute(select(database.now())).scalar_one())


def renew(database: Database, connection: Connection, tokens: Mapping[int, int], seconds: float) -> set[int]:
    """Extend the leases of {trial id: token} and return the trials still held."""
    held: set[int] = set()
    for chunk in chunks(tokens):
        query = select(_leases.c.trial_id, _leases.c.token).where(_leases.c.trial_id.in_(chunk))
        rows = connection.execute(query.order_by(_leases.c.trial_id).with_for_update())
        mine = [trial_id for trial_id, token in rows if token == tokens[trial_id]]
        held.update(mine)
        if mine:
            connection.execute(
                update(_leases)
                .where(_leases.c.trial_id.in_(mine), _leases.c.expires.is_not(None))
                .values(expires=database.now() + seconds)
            )
    return held


def release(connection: Connection, tokens: Mapping[int, int]) -> None:
    """Give back the trials of {trial id: token} that are still held."""
    held: list[int] = []
    for chunk in chunks(tokens):
        query = select(_leases.c.trial_id, _leases.c.token).where(_leases.c.trial_id.in_(chunk))
        rows = connection.execute(query.order_by(_leases.c.trial_id).with_for_update())
        held += [trial_id for trial_id, token in rows if token == tokens[trial_id]]
    set_free(connection, held)


def is_held(connection: Connection, trial_id: int, token: int) -> bool:
    """Return whether the trial is held under the token, and keep it so until the transaction ends."""
    query = select(_leases.c.token).where(_leases.c.trial_id == trial_id, _leases.c.expires.is_not(None))
    return connection.execute(query.with_for_update()).scalar() == token


def forget_reports(connection: Connection, trial_id: int, after: int | None) -> None:
    """Delete the trial's reports and epochs after the given one, or all of them."""
    for table, column in ((schema.trial_intermediate_values, "step"), (schema.tuner_epochs, "epoch")):
        condition = table.c.trial_id == trial_id
        if after is not None:
            condition &= table.c[column] > after
        connection.execute(delete(table).where(condition))
