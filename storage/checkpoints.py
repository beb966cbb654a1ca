"""Checkpoints of trials: a file of tensors and a JSON beside it, indexed in SQL.

The JSON is written last and carries size and checksum of the tensors; the index carries the JSON's. So a torn or
damaged checkpoint is recognised, and the one before it is used. The name carries the lease's token: a worker that
lost the trial cannot overwrite what its successor wrote.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import TrialState

from storage.errors import LeaseLostError
from storage.files import open_files
from storage.records import CheckpointRecord
from storage.retention import Deletion, Kept, Retention, plan
from storage.storage import SQLStorage

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a trial needs to continue after an epoch."""

    epoch: int
    tensors: bytes  # a safetensors file, made and read by the caller
    meta: dict[str, Any]  # JSON


class CheckpointStore:
    """The checkpoints of one study, under a folder or any fsspec URL.

    Args:
        storage: where the index is, and the leases of the trials.
        study_id: the study.
        root: a folder or URL that all workers of the study reach; its folders are named by random keys.
        retention: how much is kept.
    """

    def __init__(self, storage: SQLStorage, study_id: int, root: str, *, retention: Retention | None = None) -> None:
        self.storage = storage
        self.study_id = study_id
        self.retention = retention or Retention()
        self.files = open_files(root)
        self._folder = storage.study_key(study_id)

    def save(self, trial_id: int, epoch: int, tensors: bytes, meta: Mapping[str, Any]) -> CheckpointRecord:
        """Write a checkpoint of a held trial; on return it is in the index.

        Older ones of the trial are deleted beyond what :class:`Retention` keeps of each.

        Raises:
            LeaseLostError: the trial belongs to somebody else.
            CheckpointError: it could not be written; nothing is left of it.
            StorageFullError: the disk is full; nothing is left of it.
        """
        saved = self.save_all({trial_id: Checkpoint(epoch=epoch, tensors=tensors, meta=dict(meta))})
        if not saved:
            raise LeaseLostError([trial_id])
        return saved[0]

    def save_all(self, checkpoints: Mapping[int, Checkpoint]) -> list[CheckpointRecord]:
        """Write the checkpoints of a whole cohort, by trial id, with two transactions in all.

        Trials that belong to somebody else are left out.

        Raises:
            CheckpointError: one could not be written.
            StorageFullError: the disk is full.
        """
        records = []
        for trial_id, checkpoint in checkpoints.items():
            token = self.storage.token(trial_id)
            if token is not None:
                records.append(self._write(trial_id, token, checkpoint))
        with self.storage.batch():
            for record in records:
                self.storage.record_checkpoint(record)
        lost = self.storage.lost()
        records = [record for record in records if record.trial_id not in lost]
        # Older ones go once the index has the new ones: a worker killed here finds one or the other.
        old = self.storage.checkpoints_beyond([record.trial_id for record in records], self.retention.keep_each)
        self._delete(old)
        return records

    def _write(self, trial_id: int, token: int, checkpoint: Checkpoint) -> CheckpointRecord:
        name = f"{self._trial_folder(trial_id)}/{checkpoint.epoch:08d}-{token:x}"
        tensors = checkpoint.tensors
        described = {
            "epoch": checkpoint.epoch,
            "meta": checkpoint.meta,
            "tensors": {"bytes": len(tensors), "sha256": hashlib.sha256(tensors).hexdigest()},
        }
        text = json.dumps(described, indent=1).encode()
        self.files.write(f"{name}.safetensors", tensors)
        try:
            self.files.write(f"{name}.json", text)
        except BaseException:
            self.files.remove(f"{name}.safetensors")
            raise
        return CheckpointRecord(
            trial_id=trial_id,
            epoch=checkpoint.epoch,
            uri=f"{name}.json",
            bytes=len(tensors) + len(text),
            sha256=hashlib.sha256(text).hexdigest(),
        )

    def load(self, trial_id: int) -> Checkpoint | None:
        """Return the newest whole checkpoint of the trial; None if there is none, and it starts from nothing."""
        for record in self.storage.checkpoints(trial_id):
            try:
                return self._read(record)
            except (OSError, ValueError, KeyError) as error:
                _logger.warning(
                    "checkpoint %s is damaged (%s); the one before is used", self.files.uri(record.uri), error
                )
        return None

    def preview(self) -> list[Deletion]:
        """Return what :meth:`clean` would delete now."""
        return plan(self._kept(), self.retention)

    def clean(self) -> list[Deletion]:
        """Delete what need not stay, and return it; left-overs of finished trials go as well."""
        deletions = self.preview()
        self._delete([deletion.record for deletion in deletions])
        staying = {record.trial_id for record in self.storage.study_checkpoints(self.study_id)}
        for trial_id in {deletion.record.trial_id for deletion in deletions} - staying:
            self.files.remove_folder(self._trial_folder(trial_id))
        return deletions

    def remove_all(self, *, but: Collection[int] = ()) -> None:
        """Delete every checkpoint of the study, ``but`` those of these trials."""
        records = [one for one in self.storage.study_checkpoints(self.study_id) if one.trial_id not in but]
        self._delete(records)
        for trial_id in {record.trial_id for record in records}:
            self.files.remove_folder(self._trial_folder(trial_id))
        self.files.remove_folder(self._folder)

    def _trial_folder(self, trial_id: int) -> str:
        return f"{self._folder}-{self.storage.get_trial_number_from_id(trial_id):06d}"

    def _read(self, record: CheckpointRecord) -> Checkpoint:
        text = self.files.read(record.uri)
        if hashlib.sha256(text).hexdigest() != record.sha256:
            raise ValueError("its description does not have the recorded checksum")
        described = json.loads(text)
        tensors = self.files.read(record.uri.removesuffix(".json") + ".safetensors")
        if len(tensors) != described["tensors"]["bytes"]:
            raise ValueError(f"{len(tensors)} bytes of {described['tensors']['bytes']}")
        if hashlib.sha256(tensors).hexdigest() != described["tensors"]["sha256"]:
            raise ValueError("its tensors do not have the recorded checksum")
        return Checkpoint(epoch=int(described["epoch"]), tensors=tensors, meta=described["meta"])

    def _delete(self, records: Sequence[CheckpointRecord]) -> None:
        # The index first: what it names is there, and a file that it does not name harms nobody.
        self.storage.forget_checkpoints(records)
        for record in records:
            self.files.remove(record.uri)
            self.files.remove(record.uri.removesuffix(".json") + ".safetensors")

    def _kept(self) -> list[Kept]:
        records = self.storage.study_checkpoints(self.study_id)
        if not records:
            return []
        maximize = self.storage.get_study_directions(self.study_id)[0] is StudyDirection.MAXIMIZE
        trials = {t._trial_id: t for t in self.storage.get_all_trials(self.study_id, deepcopy=False)}
        kept = []
        for record in records:
            trial = trials[record.trial_id]
            score = math.nan
            if trial.state is TrialState.COMPLETE and trial.values is not None:
                score = -trial.values[0] if maximize else trial.values[0]
            kept.append(Kept(record=record, number=trial.number, state=trial.state, score=score))
        return kept
