"""Finished trials are read once: what a study's cache knows, and how it learns what is new."""

from __future__ import annotations

import bisect
import math
from collections.abc import Collection, Container
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import bindparam, literal_column, select

from storage import schema
from storage.reading import chunks, load_study, load_trials

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from sqlalchemy import Connection

_trials = schema.trials


class StudyCache:
    """The finished trials of one study, and the ids of the open ones.

    Trials never change once they are finished and are never deleted one by one, so what is known stays true.
    """

    def __init__(self) -> None:
        self.finished: dict[int, FrozenTrial] = {}
        self.noticed: list[FrozenTrial] = []  # the finished ones in the order they came to be known
        self.open: set[int] = set()
        self.last = (-1, -1)  # (id, number) of the last trial up to which all are known
        self.tail = (-1, -1)  # (id, number) of the last trial heard of: where new numbers start
        self.heard_over = 0  # the connection (its count) over which that was heard
        self.distributions: dict[str, tuple[BaseDistribution, str]] = {}  # by parameter, with their JSON
        self.changes: int | None = None  # Database.changes() when it was last brought up to date
        self.looked = -math.inf  # time.monotonic() of the last look
        self.looked_at_open = -math.inf
        self.others: list[FrozenTrial] = []  # open trials of other workers, as of then
        self.loaded = False
        self.key: str | None = None  # the study's, once it is known
        self._by_state: dict[TrialState, list[FrozenTrial]] = {
            TrialState.COMPLETE: [],
            TrialState.PRUNED: [],
            TrialState.FAIL: [],
        }

    def check_key(self, key: str | None) -> None:
        """Notice that another study has the id: SQLite gives the one of a deleted study to the next.

        Raises:
            KeyError: the study that is known here is gone.
        """
        if self.key is not None and key != self.key:
            raise KeyError("the study was deleted, and another one has its id")
        self.key = key

    def add_finished(self, trial: FrozenTrial) -> None:
        """Keep a finished trial."""
        trial_id = trial._trial_id
        self.open.discard(trial_id)
        if trial_id in self.finished:
            return
        self.finished[trial_id] = trial
        self.noticed.append(trial)
        bisect.insort(self._by_state[trial.state], trial, key=_id_of)

    def add_open(self, trial_id: int) -> None:
        if trial_id not in self.finished:
            self.open.add(trial_id)

    def of_states(self, states: Container[TrialState] | None) -> list[FrozenTrial]:
        """Return the finished trials in these states, sorted by id."""
        lists = [kept for state, kept in self._by_state.items() if kept and (states is None or state in states)]
        if len(lists) == 1:
            return list(lists[0])
        return sorted((trial for kept in lists for trial in kept), key=_id_of)


def _id_of(trial: FrozenTrial) -> int:
    return trial._trial_id


_NEWER = (
    select(_trials.c.trial_id, _trials.c.number, _trials.c.state)
    .where(_trials.c.trial_id > bindparam("past"))
    .order_by(_trials.c.trial_id)
)
_PAST = _NEWER.where(_trials.c.study_id == bindparam("study"))
# + 0: the index on study_id would read the whole study, the one on trial_id reads what is new.
_PAST_ON_POSTGRESQL = _NEWER.where(_trials.c.study_id + literal_column("0") == bindparam("study"))


class News:
    """What one look at the database found."""

    def __init__(self) -> None:
        self.trials: list[FrozenTrial] = []  # complete with details
        self.rows: list[tuple[int, int]] = []  # (id, number) of trials not known before
        self.gone: set[int] = set()


def look(
    connection: Connection,
    study_id: int,
    last_id: int,
    watched: Collection[int],
    *,
    mine: Collection[int],
    details: Container[TrialState],
) -> News:
    """Read trials past ``last_id`` and how the ``watched`` open ones fare.

    Newly finished trials come with details; open ones as well where ``details`` asks for their state. Trials
    that are ``mine`` are known better in memory.
    """
    news = News()
    if last_id < 0:
        news.trials = load_study(connection, study_id)
        news.rows = [(trial._trial_id, trial.number) for trial in news.trials]
        return news
    found: dict[int, TrialState] = {}
    for chunk in chunks(watched):
        query = select(_trials.c.trial_id, _trials.c.state).where(_trials.c.trial_id.in_(chunk))
        found.update({row[0]: row[1] for row in connection.execute(query)})
    news.gone = set(watched).difference(found)
    past = _PAST_ON_POSTGRESQL if connection.dialect.name == "postgresql" else _PAST
    new = connection.execute(past, {"study": study_id, "past": last_id}).all()
    news.rows = [(row[0], row[1]) for row in new]
    found.update({row[0]: row[2] for row in new})
    wanted = [i for i, s in found.items() if i not in mine and (s.is_finished() or s in details)]
    news.trials = load_trials(connection, wanted)
    return news
