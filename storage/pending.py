"""What one process has not written yet, and what it wrote that a crash of the server may undo."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from storage.buffer import Unwritten

_ON_DISK_AFTER = 10.0
"""Seconds after which a server has certainly brought to disk what it committed: PostgreSQL takes three times its
``wal_writer_delay``, 0.6 unless somebody changed it."""


@dataclass(kw_only=True)
class Pending:
    """Changes of trials, and attributes of studies."""

    trials: dict[int, Unwritten] = field(default_factory=dict)  # by trial id
    attrs: dict[tuple[str, int, str], str] = field(default_factory=dict)  # (table, study id, key): JSON

    def __bool__(self) -> bool:
        return bool(self.trials or self.attrs)

    def leased(self) -> Pending:
        """Return the changes of trials that are leased, which a token guards: only these may be written twice."""
        return Pending(trials={i: entry for i, entry in self.trials.items() if entry.token is not None})

    def before(self, later: Pending) -> Pending:
        """Return both as one; where both say something, the later one counts. Neither is changed."""
        trials = dict(self.trials)
        for trial_id, entry in later.trials.items():
            trials[trial_id] = trials[trial_id].before(entry) if trial_id in trials else entry
        return Pending(trials=trials, attrs=self.attrs | later.attrs)

    def of(self, trial_id: int | None) -> Pending:
        """Return the changes of one trial alone, or the attributes of studies."""
        if trial_id is None:
            return Pending(attrs=self.attrs)
        return Pending(trials={trial_id: self.trials[trial_id]} if trial_id in self.trials else {})

    def without(self, trial_id: int | None) -> Pending:
        """Return all the rest."""
        if trial_id is None:
            return Pending(trials=self.trials)
        return Pending(trials={i: entry for i, entry in self.trials.items() if i != trial_id}, attrs=self.attrs)


class NotYetOnDisk:
    """What was committed without waiting for the disk. A server that crashes may forget it: it is written again.

    That a server may have crashed shows in a new connection to it.
    """

    def __init__(self) -> None:
        self._recent, self._earlier = Pending(), Pending()
        self._since = 0.0  # when the first of the recent ones was written
        self._connection = 0  # over which they were

    def __bool__(self) -> bool:
        return bool(self._recent or self._earlier)

    def again(self, connection: int) -> Mapping[int, Unwritten]:
        """Return the changes of trials that are to be written once more over this connection (its count)."""
        return {} if connection == self._connection else self._earlier.before(self._recent).trials

    def written(self, changes: Pending, *, on_disk: bool, connection: int) -> None:
        """Take note of what was committed just now; with ``on_disk`` that and all before it is safe."""
        now, changes = time.monotonic(), changes.leased()
        if on_disk:
            self._recent, self._earlier = Pending(), Pending()
        elif not self._recent:
            self._recent, self._since = changes, now
        elif now - self._since < _ON_DISK_AFTER:
            self._recent = self._recent.before(changes)
        else:
            self._recent, self._earlier, self._since = changes, self._recent, now
        self._connection = connection

    def forget(self, trial_id: int) -> None:
        """Leave a trial as the database has it: it is another worker's, or was begun anew."""
        self._recent, self._earlier = self._recent.without(trial_id), self._earlier.without(trial_id)
