"""When members are checkpointed and from where they continue; what a checkpoint is made of the engine knows."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage import Checkpoint, CheckpointStore, SQLStorage
    from tuner.spec import StudySpec
    from tuner.training import Member

log = logging.getLogger("tuner")

LEAST_SECONDS = 1.0
"""So much training may be lost when a worker is killed, besides the epoch it was in."""
MOST_SHARE = 0.05
"""Of a worker's time that may go into checkpoints."""
FOLDER = "tuner-checkpoints"


def open_store(storage: SQLStorage, study_id: int, spec: StudySpec) -> CheckpointStore:
    """Return the study's checkpoints: where its spec says, else beside the SQLite file, else in this folder."""
    from storage import CheckpointStore, Retention
    from storage.urls import beside

    written = spec.training.checkpoints
    root = written.where or beside(storage.database.url, FOLDER)
    keep_best = max(written.keep_best, spec.model.ensemble if spec.model.keep_as else 0)
    retention = Retention(keep_best=keep_best, max_bytes=written.max_bytes)
    return CheckpointStore(storage, study_id, root, retention=retention)


class Checkpoints:
    """The checkpoints of one worker's members."""

    def __init__(self, store: CheckpointStore) -> None:
        self.store = store
        self._saved = time.monotonic()
        self._cost = 0.0
        self._have: set[int] = set()

    def load(self, trial_id: int) -> Checkpoint | None:
        """Return the last whole checkpoint of a trial that was interrupted, if there is one."""
        self._have.add(trial_id)
        return self.store.load(trial_id)

    def restore(self, member: Member, checkpoint: Checkpoint) -> None:
        """Continue ``member`` from ``checkpoint``.

        Raises:
            CheckpointError: when it belongs to another network or optimizer.
        """
        from safetensors.torch import load

        member.restore(load(checkpoint.tensors), checkpoint.meta)

    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self._saved >= max(LEAST_SECONDS, self._cost / MOST_SHARE)

    def save(self, members: Mapping[int, Member]) -> None:
        """Save members, by trial id, that have finished an epoch.

        Where that is not possible a warning says so, and training goes on: an interrupted trial loses more then.
        """
        started = time.monotonic()
        self._write(members)
        self._saved = time.monotonic()
        self._cost = self._saved - started

    def save_last(self, members: Mapping[int, Member]) -> None:
        """Save members, by trial id, that have come to their end, if any of the finished ones is to keep its own."""
        if self.store.retention.keep_best:
            self._write(members)

    def _write(self, members: Mapping[int, Member]) -> None:
        from safetensors.torch import save

        from storage import Checkpoint, CheckpointError, StorageFullError

        checkpoints = {}
        for trial_id, member in members.items():
            if member.epoch:
                tensors, meta = member.state()
                checkpoints[trial_id] = Checkpoint(epoch=member.epoch, tensors=save(tensors), meta=meta)
        try:
            self.store.save_all(checkpoints)
            self._have.update(checkpoints)
        except (CheckpointError, StorageFullError) as error:
            log.warning("no checkpoint: %s", error)

    def ended(self, trial_ids: set[int]) -> None:
        """Clean up after trials that have ended."""
        if self._have & trial_ids:
            self._have -= trial_ids
            self.store.clean()
