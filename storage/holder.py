"""What one process holds: its leased trials in memory, their unwritten changes, and the thread that writes
them behind and renews the leases."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from storage import buffer, keeper, leases, migration, schema, studies
from storage.buffer import HeldTrial, Unwritten
from storage.cache import StudyCache
from storage.engine import PATIENCE, Database
from storage.errors import LeaseLostError, StorageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

_logger = logging.getLogger(__name__)

LEASE = 60.0  # seconds without a sign of life after which a trial is free for others


class Holder:
    """Held trials, buffered writes, leases. :class:`storage.SQLStorage` adds Optuna's interface to it.

    Locks are taken in the order flush, memory, database; nothing that runs inside the database takes another.
    """

    def __init__(
        self,
        url: str,
        *,
        create: bool = True,
        lease: float = LEASE,
        patience: float = PATIENCE,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.database = Database(url, create=create, patience=patience, clock=clock)
        self.lease = lease
        self._arguments: dict[str, Any] = {
            "url": url,
            "create": create,
            "lease": lease,
            "patience": patience,
            "clock": clock,
        }
        self._reset()
        self._has_our_tables = migration.check(self.database)
        this = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _after_fork(this()))
        atexit.register(keeper.flush_at_exit, this)

    def _reset(self) -> None:
        self._memory = threading.RLock()
        self._flushing = threading.RLock()
        self._held: dict[int, HeldTrial] = {}
        self._pending: dict[int, Unwritten] = {}
        self._pending_attrs: dict[tuple[str, int, str], str] = {}  # (table, study id, key): JSON
        self._caches: dict[int, StudyCache] = {}
        self._on_its_way = False  # something is committed that may not be on disk yet
        self._lost: set[int] = set()
        self._given_back: set[int] = set()
        self._worker_id: int | None = None
        self._batches = 0  # open batch() blocks, of all threads
        self._in_batch = threading.local()
        self._keeper: threading.Thread | None = None
        self._closing = threading.Event()

    def __getstate__(self) -> dict[str, Any]:
        self.flush()
        return self._arguments

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @property
    def safe_url(self) -> str:
        """The URL with the password masked."""
        return self.database.safe_url

    def close(self) -> None:
        """Write what is buffered and close the connection. Leases stay; see :meth:`release`."""
        self._closing.set()
        thread = self._keeper
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self.flush()
        self.database.close()
        self._closing.clear()

    def __del__(self) -> None:
        if "_has_our_tables" in self.__dict__ and not sys.is_finalizing():  # opened, and not closed by its owner
            self._closing.set()
            keeper.write_what_is_left(self)
            self.database.close()

    # -- buffered writes

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Make every write inside one transaction, on disk at exit.

        A trial whose lease turns out to be lost at exit gets nothing and appears in :meth:`lost`; the others
        are written. What was recorded before an exception is written too.
        """
        depth = getattr(self._in_batch, "depth", 0)
        self._in_batch.depth = depth + 1
        with self._memory:
            self._batches += 1
        try:
            yield
        finally:
            self._in_batch.depth = depth
            with self._memory:
                self._batches -= 1
            if depth == 0:
                self._flush(durable=True)

    def flush(self) -> None:
        """Write what is buffered; it is on disk on return."""
        self._flush(durable=True)

    def _batching(self) -> bool:
        return getattr(self._in_batch, "depth", 0) > 0

    def _unwritten(self, trial_id: int, token: int | None) -> Unwritten:
        entry = self._pending.get(trial_id)
        if entry is None:
            entry = self._pending[trial_id] = Unwritten(token=token)
            if token is not None:
                self._keep()  # the thread does not rest before the entry is written
        return entry

    def _flush(self, *, durable: bool) -> tuple[set[int], set[int]]:
        """Write what is pending; return the trials that were lost, and those that were found finished."""
        with self._flushing:
            with self._memory:
                pending, self._pending = self._pending, {}
                attrs, self._pending_attrs = self._pending_attrs, {}
            if not pending and not attrs:
                if durable and self._on_its_way:
                    self.database.sync()
                    self._on_its_way = False
                return set(), set()
            needs_ours = any(entry.token or entry.epochs or entry.checkpoints for entry in pending.values())
            try:
                if needs_ours:
                    self._need_our_tables()
                shortcut = None if attrs else buffer.shortcut(pending, durable=durable)
                work = partial(self._write, pending, attrs)
                lost, finished = self.database.write(work, durable=durable, shortcut=shortcut)
            except BaseException as error:  # Ctrl-C too: it must not take along what was pending
                with self._memory:
                    self._put_back(pending, attrs)
                if not isinstance(error, Exception):
                    raise
                passes = isinstance(error, StorageError) and type(error) is not StorageError
                if not passes and len(pending) > 1:
                    return self._flush_one_by_one(durable=durable)
                if not passes:
                    self._discard(pending, attrs)
                raise
            self._on_its_way = not durable
            with self._memory:
                self._settle(pending, lost)
            return lost, finished

    def _put_back(self, pending: dict[int, Unwritten], attrs: dict[tuple[str, int, str], str]) -> None:
        for trial_id, later in self._pending.items():
            if trial_id in pending:
                pending[trial_id].merge(later)
            else:
                pending[trial_id] = later
        self._pending = pending
        self._pending_attrs = attrs | self._pending_attrs

    def _flush_one_by_one(self, *, durable: bool) -> tuple[set[int], set[int]]:
        """Write the trials apart, so that what the database refuses of one sinks no other."""
        with self._memory:
            waiting, self._pending = self._pending, {}
        lost: set[int] = set()
        finished: set[int] = set()
        refused: Exception | None = None
        alone = [{}, *({trial_id: entry} for trial_id, entry in waiting.items())]  # attributes of studies first
        for pending in alone:
            with self._memory:
                self._put_back(pending, {})
            try:
                newly_lost, newly_finished = self._flush(durable=durable)
            except Exception as error:  # noqa: BLE001 - it is raised below
                refused = error
            else:
                lost |= newly_lost
                finished |= newly_finished
        if refused is not None:
            raise refused
        return lost, finished

    def _discard(self, pending: Mapping[int, Unwritten], attrs: Mapping[tuple[str, int, str], str]) -> None:
        # The database will never take it; keeping it would keep everything after it from being written.
        with self._memory:
            for trial_id in list(pending):
                self._pending.pop(trial_id, None)
            for key in attrs:
                self._pending_attrs.pop(key, None)

    def _write(
        self, pending: Mapping[int, Unwritten], attrs: Mapping[tuple[str, int, str], str], connection: Connection
    ) -> tuple[set[int], set[int]]:
        for (table, study_id, key), text in attrs.items():
            studies.write_attributes(connection, schema.optuna_tables.tables[table], study_id, {key: text})
        return buffer.write(self.database, connection, pending)

    def _settle(self, pending: Mapping[int, Unwritten], lost: set[int]) -> None:
        self._lose({trial_id for trial_id in lost if pending[trial_id].token is not None})
        for trial_id, entry in pending.items():
            held = self._held.get(trial_id)
            if held is not None and entry.token == held.token and held.state.is_finished():
                del self._held[trial_id]
                self._cache(held.study_id).add_finished(held.snapshot())
            elif entry.token is None:
                for cache in self._caches.values():
                    cache.changes = None

    # -- leases

    def lost(self) -> set[int]:
        """Return the trials that were held and belong to somebody else, or to nobody, now."""
        with self._memory:
            return set(self._lost)

    def held(self) -> set[int]:
        """Return the trials held now."""
        with self._memory:
            return set(self._held)

    def renew(self, trial_ids: Any) -> set[int]:
        """Extend the leases and return the trials still held."""
        with self._memory:
            tokens = {i: self._held[i].token for i in trial_ids if i in self._held}
        if not tokens:
            return set()
        still = self.database.write(
            lambda connection: leases.renew(self.database, connection, tokens, self.lease), durable=False
        )
        with self._memory:
            self._lose({i for i, token in tokens.items() if i not in still and self._holds(i, token)})
        return still

    def release(self, trial_ids: Any) -> None:
        """Give trials back unfinished, with all that was reported: anyone continues them."""
        self._flush(durable=True)
        with self._memory:
            tokens = {i: self._held[i].token for i in trial_ids if i in self._held}
        if tokens:
            self.database.write(lambda connection: leases.release(connection, tokens))
        with self._memory:
            for trial_id in tokens:
                held = self._held.pop(trial_id, None)
                if held is not None:
                    self._given_back.add(trial_id)
                    self._cache(held.study_id).add_open(trial_id)

    @contextmanager
    def keep_alive(self) -> Iterator[None]:
        """Renew every lease this object holds while the block runs, whatever happens to the database."""
        self._keep()
        try:
            yield
        finally:
            self._flush(durable=True)

    def _holds(self, trial_id: int, token: int) -> bool:
        held = self._held.get(trial_id)
        return held is not None and held.token == token

    def _hold(self, trial: FrozenTrial, study_id: int, token: int, *, losses: int = 0) -> None:
        trial_id = trial._trial_id
        self._lost.discard(trial_id)
        self._given_back.discard(trial_id)
        self._pending.pop(trial_id, None)  # of an earlier lease
        self._held[trial_id] = HeldTrial(trial, study_id, token, losses)
        self._cache(study_id).add_open(trial_id)
        self._keep()

    def _lose(self, trial_ids: set[int]) -> None:
        for trial_id in trial_ids:
            held = self._held.pop(trial_id, None)
            self._pending.pop(trial_id, None)
            self._lost.add(trial_id)
            if held is not None:
                self._cache(held.study_id).add_open(trial_id)
                self._cache(held.study_id).changes = None
                _logger.warning("trial %d was taken over: its lease had run out", held.number)

    def _check_not_lost(self, trial_id: int) -> None:
        if trial_id in self._lost or trial_id in self._given_back:
            raise LeaseLostError([trial_id])

    def _need_our_tables(self) -> None:
        if not self._has_our_tables:
            migration.create_all(self.database)
            self._has_our_tables = True

    def _cache(self, study_id: int) -> StudyCache:
        cache = self._caches.get(study_id)
        if cache is None:
            cache = self._caches[study_id] = StudyCache()
        return cache

    # -- the thread

    def _keep(self) -> None:
        with self._memory:
            if self._keeper is None or not self._keeper.is_alive():
                self._keeper = threading.Thread(
                    target=keeper.run, args=(weakref.ref(self), self._closing), name="tuner-storage", daemon=True
                )
                self._keeper.start()

    def write_behind(self) -> bool:
        """Write what is pending unless a batch is open; return whether there was something."""
        with self._memory:
            busy = bool(self._pending) and not self._batches
        if busy:
            self._flush(durable=False)
        return busy

    def unwritten(self) -> bool:
        """Whether something waits to be written."""
        with self._memory:
            return bool(self._pending or self._pending_attrs)

    def rest(self) -> bool:
        """Let the thread go if there is nothing for it to do; a later claim or report starts another."""
        with self._memory:
            idle = not self._held and not self._pending and self._worker_id is None
            if idle:
                self._keeper = None
            return idle

    def beat(self) -> bool:
        """Renew every lease and show that the worker is alive; return that it was done."""
        held = self.held()
        if held:
            self.renew(held)
        if self._worker_id is not None:
            worker_id = self._worker_id
            self.database.write(
                lambda connection: studies.touch_worker(self.database, connection, worker_id), durable=False
            )
        return True


def _after_fork(storage: Holder | None) -> None:
    if storage is not None:
        storage.database.forget_connection()
        storage._reset()
