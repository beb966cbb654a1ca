"""The thread of a storage: it writes behind and renews leases. And what is written when nobody else will."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from storage.errors import StorageError

if TYPE_CHECKING:
    from storage.holder import Holder

_logger = logging.getLogger(__name__)

_WRITE_BEHIND = 0.5  # seconds that a report may stay in memory only
_PATIENCE_AT_EXIT = 5.0  # seconds that the end of the process waits for the database
_IDLE = 10.0  # seconds without work after which the thread ends


def run(storage: weakref.ref[Holder], closing: threading.Event) -> None:
    """Write behind and renew leases until there is nothing to do for a while."""
    last_beat = last_work = time.monotonic()
    while not closing.wait(_WRITE_BEHIND):
        this = storage()
        if this is None:
            return
        now = time.monotonic()
        if _survives(this.write_behind) or this.held():
            last_work = now
        if now - last_beat >= this.lease / 4 and _survives(this.beat):
            last_beat = now
        if now - last_work > _IDLE and this.rest():
            return
        del this


def _survives(step: Callable[[], bool]) -> bool:
    """Do a step; whatever goes wrong is tried again, for the heartbeat must outlive every error."""
    try:
        return step()
    except Exception as error:
        _logger.warning("trying again: %s", error, exc_info=_logger.isEnabledFor(logging.DEBUG))
        return False


def flush_at_exit(storage: weakref.ref[Holder]) -> None:
    """Write what is buffered when the process ends."""
    this = storage()
    if this is not None:
        write_what_is_left(this)


def write_what_is_left(this: Holder) -> None:
    """Write what is buffered, with little patience."""
    if this.unwritten():
        this.database.patience = min(this.database.patience, _PATIENCE_AT_EXIT)
        try:
            this.flush()
        except StorageError as error:
            _logger.warning("what was reported last is lost: %s", error)
