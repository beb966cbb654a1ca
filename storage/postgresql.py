"""Claims on PostgreSQL: one statement that numbers, inserts and leases new trials, and looks before it does."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from storage import direct
from storage.direct import Command
from storage.reading import to_utc

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from storage.engine import Database
    from storage.leases import New, Terms

_NO_END = 2**31 - 1
_OWN_CLOCK = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS double precision)"
_TESTS_CLOCK = "CAST(%(clock)s AS double precision)"
# As leases.lock_study: a statement of its own, so that the next one sees what others did before it had the lock.
_LOCK = "SELECT study_id FROM studies WHERE study_id = %(study)s FOR NO KEY UPDATE"
_WAITING = "SELECT trial_id FROM trials WHERE study_id = %(study)s AND state = 'WAITING' ORDER BY trial_id"

_STUDY_EXISTS = "EXISTS (SELECT FROM studies WHERE study_id = %(study)s)"
# Counted rather than EXISTS: PostgreSQL would guess that a scan of the whole table finds one soon.
# (SELECT now): the clock moves while a statement runs, so that without the brackets no index is used.
_NOTHING_BUT_NEW = f"""
    {_STUDY_EXISTS}
    AND NOT EXISTS (
        SELECT FROM tuner_studies WHERE study_id = %(study)s AND stop_requested IS NOT NULL
    )
    AND (SELECT count(*) FROM trials WHERE study_id = %(study)s AND state = 'WAITING') = 0
    AND (
        SELECT count(*) FROM tuner_leases
        WHERE study_id = %(study)s AND expires < (SELECT {{now}}) AND trial_id <> ALL(CAST(%(spared)s AS integer[]))
    ) = 0
"""  # noqa: S608 nothing in it comes from outside
_BUDGET = "coalesce((SELECT budget FROM tuner_studies WHERE study_id = %(study)s), %(below)s)"


def _add_and_lease(condition: str, below: str, now: str) -> str:
    # study_id + 0: the index on study_id would read the whole study, the one on trial_id reads what is new.
    # An array, for which PostgreSQL guesses ten: for generate_series it guesses a thousand, and plans anew each time.
    return f"""
        WITH last AS (
            SELECT coalesce(
                (
                    SELECT number FROM trials WHERE study_id + 0 = %(study)s AND trial_id > %(past)s
                    ORDER BY trial_id DESC LIMIT 1
                ),
                %(known)s
            ) AS number
            WHERE {condition.format(now=now)}
        ), new AS (
            INSERT INTO trials (number, study_id, state, datetime_start)
            SELECT last.number + place, CAST(%(study)s AS integer), 'RUNNING', CAST(%(start)s AS timestamp)
            FROM last, unnest(CAST(%(places)s AS integer[])) AS place
            WHERE last.number + place < {below}
            RETURNING trial_id, study_id, number
        ), leased AS (
            INSERT INTO tuner_leases (trial_id, study_id, worker_id, token, attempt, expires)
            SELECT trial_id, study_id, CAST(%(worker)s AS integer), CAST(%(token)s AS bigint), 1,
                   {now} + CAST(%(seconds)s AS double precision)
            FROM new
        )
        SELECT trial_id, number FROM new ORDER BY trial_id
        """  # noqa: S608 nothing in it comes from outside


_ADD = {
    (only_new, own_clock): _add_and_lease(condition, below, now)
    for only_new, condition, below in ((True, _NOTHING_BUT_NEW, _BUDGET), (False, _STUDY_EXISTS, "%(below)s"))
    for own_clock, now in ((True, _OWN_CLOCK), (False, _TESTS_CLOCK))
}


def add_and_lease(database: Database, connection: Connection, new: New, terms: Terms) -> dict[int, int]:
    """Insert running trials with leases and return {trial id: number}; the study must be locked."""
    statement = _ADD[False, database.clock is None]
    return dict(direct.fetch(connection, statement, _values(database, new, terms)))


def locked_add(
    database: Database, new: New, terms: Terms, spared: Collection[int] | None = None
) -> tuple[Command, Command]:
    """Return the commands that lock the study and then add leased trials.

    With ``spared``, the study's budget is kept, and nothing is added where a claim has anything else to
    consider: a stop request, waiting trials, or expired leases other than the spared ones.
    """
    values = _values(database, new, terms)
    if spared is not None:
        values["spared"] = direct.array(spared)
    add = _ADD[spared is not None, database.clock is None]
    return Command(statement=_LOCK, values={"study": new.study_id}), Command(statement=add, values=values)


def waiting_ids(connection: Connection, study_id: int) -> list[int]:
    """Return the ids of the waiting trials."""
    return [row[0] for row in direct.fetch(connection, _WAITING, {"study": study_id})]


def _values(database: Database, new: New, terms: Terms) -> dict[str, Any]:
    values = {
        "study": new.study_id,
        "past": new.known[0],
        "known": new.known[1],
        "places": direct.array(range(1, new.count + 1)),
        "below": _NO_END if new.below is None else new.below,
        "start": to_utc(new.start),
        "worker": terms.worker_id,
        "token": terms.token,
        "seconds": terms.seconds,
    }
    if database.clock is not None:
        values["clock"] = database.clock()
    return values
