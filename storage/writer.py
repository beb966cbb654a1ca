"""Writing what is pending: all of it in one transaction or, where the database refuses that, trial by trial."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from storage import buffer, schema, studies
from storage.errors import StorageError
from storage.pending import NotYetOnDisk, Pending

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from storage.buffer import Unwritten
    from storage.engine import Database


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of changes that were written."""

    trials: Mapping[int, Unwritten]
    lost: set[int]
    """Trials that are somebody else's by now, and got nothing."""
    finished: set[int]
    """Trials without a lease that had finished before, and got nothing."""


class Owner(Protocol):
    """Whose changes they are. All but ``prepare`` is called under the ``memory`` lock."""

    def prepare(self) -> None:
        """Make the tables that are ours."""

    def settle(self, written: Written) -> None:
        """Hear what was written."""

    def refuse(self, trial_id: int, error: Exception) -> None:
        """Hear of a trial of which the database does not take something; its changes are dropped."""


class Writer:
    """Takes changes in memory and brings them to the database, in any thread."""

    def __init__(self, database: Database, memory: threading.RLock) -> None:
        self.pending = Pending()
        self.not_yet_on_disk = NotYetOnDisk()
        self._database = database
        self._memory = memory
        self._one_at_a_time = threading.RLock()
        self._writing = False

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be written, and nothing is being written."""
        return not self.pending and not self._writing

    def write(self, owner: Owner, *, durable: bool) -> set[int]:
        """Write what is pending; with ``durable`` it is on disk on return. Return the trials found finished.

        What the database refuses for good is dropped, and the owner told; of attributes of studies it is raised. After
        any other error everything is pending again.
        """
        with self._one_at_a_time:
            taken = Pending()
            self._writing = True
            try:
                with self._memory:
                    taken, self.pending = self.pending, Pending()
                if not taken and self._nothing_to_do(durable):
                    return set()
                return self._write(owner, taken, durable)
            except BaseException as error:  # Ctrl-C too: it must not take along what was pending
                self._put_back(taken)
                if not _is_refusal(error):
                    raise
                return self._write_one_by_one(owner, durable)
            finally:
                self._writing = False

    def _nothing_to_do(self, durable: bool) -> bool:
        """Whether all there is was written before, and is on disk if it has to be."""
        if not durable or not self.not_yet_on_disk:
            return True
        self._database.sync()
        connection = self._database.connections
        if self.not_yet_on_disk.again(connection):
            return False
        self.not_yet_on_disk.written(Pending(), on_disk=True, connection=connection)
        return True

    def _write(self, owner: Owner, taken: Pending, durable: bool) -> set[int]:
        changes, connection = taken, 0

        def due() -> Mapping[int, Unwritten]:
            """What is to be written over the connection that there is now."""
            nonlocal changes, connection
            connection = self._database.connections
            changes = Pending(trials=dict(self.not_yet_on_disk.again(connection))).before(taken)
            return changes.trials

        def work(connection: Connection) -> tuple[set[int], set[int]]:
            for (table, study_id, key), text in taken.attrs.items():
                studies.write_attributes(connection, schema.optuna_tables.tables[table], study_id, {key: text})
            return buffer.write(self._database, connection, due())

        if any(entry.token or entry.epochs or entry.checkpoints for entry in taken.trials.values()):
            owner.prepare()
        leased = not taken.attrs and all(entry.token is not None for entry in taken.trials.values())
        shortcut = buffer.shortcut(due, durable=durable) if leased else None
        lost, finished = self._database.write(work, durable=durable, shortcut=shortcut)
        with self._memory:
            self.not_yet_on_disk.written(changes, on_disk=durable, connection=connection)
            owner.settle(Written(trials=changes.trials, lost=lost, finished=finished))
        return finished

    def _write_one_by_one(self, owner: Owner, durable: bool) -> set[int]:
        """Write the trials apart, so that what the database refuses of one sinks no other."""
        finished: set[int] = set()
        with self._memory:
            trial_ids = list(self.pending.trials)
        for trial_id in (None, *trial_ids):
            part = Pending()
            try:
                with self._memory:
                    part = self.pending.of(trial_id)
                    self.pending = self.pending.without(trial_id)
                finished |= self._write(owner, part, durable)
            except BaseException as error:
                if not isinstance(error, Exception) or not _is_refusal(error):
                    self._put_back(part)
                    raise
                if trial_id is None:
                    raise
                with self._memory:
                    owner.refuse(trial_id, error)
        return finished

    def _put_back(self, taken: Pending) -> None:
        with self._memory:
            if taken is not self.pending:  # Ctrl-C came between taking it and putting an empty one in its place
                self.pending = taken.before(self.pending)


def _is_refusal(error: BaseException) -> bool:
    """Whether the database, or its driver, will never take what was to be written. An outage passes."""
    if isinstance(error, StorageError):
        return type(error) is StorageError
    return isinstance(error, Exception)
