"""What one process holds: its leased trials in memory, and the thread that writes them behind and renews the leases."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from storage import keeper, leases, migration, studies
from storage.buffer import HeldTrial, Unwritten
from storage.cache import StudyCache
from storage.engine import PATIENCE, Database
from storage.errors import LeaseLostError
from storage.writer import Writer, Written

if TYPE_CHECKING:
    from storage.pending import Pending

_logger = logging.getLogger(__name__)

LEASE = 60.0  # seconds without a sign of life after which a trial is free for others


class Holder:
    """Held trials, buffered writes, leases. :class:`storage.SQLStorage` adds Optuna's interface to it.

    Locks are taken in the order writer, memory, database; nothing that runs inside the database takes another.
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
        self._writer = Writer(self.database, self._memory)
        self._held: dict[int, HeldTrial] = {}
        self._caches: dict[int, StudyCache] = {}
        self._refused: dict[int, Exception] = {}  # of whom the database did not take something, till somebody hears
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
        """Make the writes of this thread inside one transaction, on disk at exit, unless another thread flushes.

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
                self.flush()

    def flush(self) -> None:
        """Write what is buffered; it is on disk on return.

        Raises:
            StorageError: the database refused something of a trial, which is dropped; the rest is written.
        """
        self._flush(durable=True)
        with self._memory:
            refused = self._refused.popitem()[1] if self._refused else None
        if refused is not None:
            raise refused

    def _batching(self) -> bool:
        return getattr(self._in_batch, "depth", 0) > 0

    @property
    def _pending(self) -> Pending:
        return self._writer.pending

    def _unwritten(self, trial_id: int, token: int | None) -> Unwritten:
        entry = self._pending.trials.get(trial_id)
        if entry is None:
            entry = self._pending.trials[trial_id] = Unwritten(token=token)
            if token is not None:
                self._keep()  # the thread does not rest before the entry is written
        return entry

    def _flush(self, *, durable: bool) -> set[int]:
        """Write what is pending; return the trials without a lease that were found finished."""
        return self._writer.write(self, durable=durable)

    def settle(self, written: Written) -> None:
        """Take note of what was written: whose trials it is by now, and which have ended."""
        for trial_id, entry in written.trials.items():
            held = self._held.get(trial_id)
            if entry.token is None:
                for cache in self._caches.values():
                    cache.changes = None
            elif trial_id in written.lost:
                if held is None or held.token == entry.token:
                    self._lose({trial_id})
            elif held is not None and held.token == entry.token and held.state.is_finished():
                del self._held[trial_id]
                self._cache(held.study_id).add_finished(held.snapshot())

    def refuse(self, trial_id: int, error: Exception) -> None:
        """Keep the error for the trial's next call. A trial that was told its end has not ended."""
        _logger.warning("something of trial %d cannot be written: %s", trial_id, error)
        self._refused[trial_id] = error
        held = self._held.get(trial_id)
        if held is not None and held.state.is_finished():
            held.untell()

    def _check_nothing_refused(self, trial_id: int) -> None:
        error = self._refused.pop(trial_id, None)
        if error is not None:
            raise error

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
        self._forget(trial_id)  # what was of an earlier lease
        self._held[trial_id] = HeldTrial(trial, study_id, token, losses)
        self._cache(study_id).add_open(trial_id)
        self._keep()

    def _lose(self, trial_ids: set[int]) -> None:
        for trial_id in trial_ids:
            held = self._held.pop(trial_id, None)
            self._forget(trial_id)
            self._lost.add(trial_id)
            if held is not None:
                self._cache(held.study_id).add_open(trial_id)
                self._cache(held.study_id).changes = None
                _logger.warning("trial %d was taken over: its lease had run out", held.number)

    def _forget(self, trial_id: int) -> None:
        self._pending.trials.pop(trial_id, None)
        self._writer.not_yet_on_disk.forget(trial_id)
        self._refused.pop(trial_id, None)

    def _check_not_lost(self, trial_id: int) -> None:
        if trial_id in self._lost or trial_id in self._given_back:
            raise LeaseLostError([trial_id])

    def prepare(self) -> None:
        """Make the tables that are ours, where they are not there yet."""
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
            busy = bool(self._pending.trials) and not self._batches
        if busy:
            self._flush(durable=False)
        return busy

    def unwritten(self) -> bool:
        """Whether something waits to be written, or is being written."""
        return not self._writer.idle

    def rest(self) -> bool:
        """Let the thread go if there is nothing for it to do; a later claim or report starts another."""
        with self._memory:
            idle = not self._held and not self._pending.trials and self._worker_id is None
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
