"""What a trial has come to: its epochs, and where its checkpoints lie."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import bindparam, delete, select

from storage import schema, studies
from storage.buffer import Unwritten, to_json
from storage.errors import LeaseLostError
from storage.holder import Holder
from storage.records import CheckpointRecord

_FORGET_CHECKPOINT = delete(schema.tuner_checkpoints).where(
    schema.tuner_checkpoints.c.trial_id == bindparam("trial"), schema.tuner_checkpoints.c.epoch == bindparam("of_epoch")
)


class Progress(Holder):
    """Epochs and the index of checkpoints, buffered and fenced like reports."""

    def record_epoch(self, trial_id: int, epoch: int, values: Mapping[str, float]) -> None:
        """Keep what an epoch of a held trial measured, buffered like its reports.

        Raises:
            LeaseLostError: the trial is not held, or not any more.
        """
        text = to_json({name: float(value) for name, value in values.items()})
        with self._memory:
            self._buffer_ours(trial_id).epochs[epoch] = text
        self._keep()

    def epochs(self, trial_id: int) -> list[tuple[int, dict[str, float]]]:
        """Return (epoch, values) of the trial, in order."""
        stored: dict[int, str] = {}
        if self._our_tables_exist():
            table = schema.tuner_epochs
            query = select(table.c.epoch, table.c.values_json).where(table.c.trial_id == trial_id)
            stored = dict(self.database.read(lambda c: [tuple(row) for row in c.execute(query)]))
        with self._memory:
            pending = self._pending.trials.get(trial_id)
            stored |= pending.epochs if pending is not None else {}
        return [(epoch, json.loads(text)) for epoch, text in sorted(stored.items())]

    # -- the index of checkpoints

    def study_key(self, study_id: int) -> str:
        """Return a random name that is the study's own among all databases, for folders.

        Raises:
            KeyError: there is no such study.
        """
        self.prepare()
        return self.database.write(lambda c: studies.folder(c, study_id))

    def token(self, trial_id: int) -> int | None:
        """Return the token under which the trial is held; None if it is not."""
        with self._memory:
            held = self._held.get(trial_id)
            return None if held is None else held.token

    def record_checkpoint(self, record: CheckpointRecord) -> None:
        """Keep where the checkpoint of a held trial lies, buffered like its reports.

        Raises:
            LeaseLostError: the trial is not held, or not any more.
        """
        with self._memory:
            entry = self._buffer_ours(record.trial_id)
            entry.checkpoints[record.epoch] = (record.uri, record.bytes, record.sha256)
            held = self._held[record.trial_id]
            if held.losses:
                held.losses, entry.progressed = 0, True
        self._keep()

    def checkpoints(self, trial_id: int) -> list[CheckpointRecord]:
        """Return the checkpoints of the trial, the newest first."""
        return self._checkpoints(schema.tuner_checkpoints.c.trial_id == trial_id)

    def study_checkpoints(self, study_id: int) -> list[CheckpointRecord]:
        """Return the checkpoints of all trials of the study, by trial, the newest first."""
        t = schema.trials.c
        ids = select(t.trial_id).where(t.study_id == study_id).scalar_subquery()
        return self._checkpoints(schema.tuner_checkpoints.c.trial_id.in_(ids))

    def checkpoints_beyond(self, trial_ids: Sequence[int], newest: int) -> list[CheckpointRecord]:
        """Return the checkpoints of the trials except the ``newest`` of each."""
        found = self._checkpoints(schema.tuner_checkpoints.c.trial_id.in_(trial_ids)) if trial_ids else []
        by_trial = groupby(found, key=lambda record: record.trial_id)
        return [record for _, records in by_trial for record in list(records)[newest:]]

    def forget_checkpoints(self, records: Sequence[CheckpointRecord]) -> None:
        """Take checkpoints out of the index."""
        if records and self._our_tables_exist():
            gone = [{"trial": record.trial_id, "of_epoch": record.epoch} for record in records]
            self.database.write(lambda c: c.execute(_FORGET_CHECKPOINT, gone).close(), durable=False)

    def _checkpoints(self, which: Any) -> list[CheckpointRecord]:
        if self._pending.trials:
            self._flush(durable=False)
        if not self._our_tables_exist():
            return []
        c = schema.tuner_checkpoints.c
        query = select(c.trial_id, c.epoch, c.uri, c.bytes, c.sha256).where(which)
        rows = self.database.read(lambda con: con.execute(query.order_by(c.trial_id, c.epoch.desc())).all())
        return [
            CheckpointRecord(trial_id=row[0], epoch=row[1], uri=row[2], bytes=row[3], sha256=row[4]) for row in rows
        ]

    def _buffer_ours(self, trial_id: int) -> Unwritten:
        with self._memory:
            self._check_not_lost(trial_id)
            held = self._held.get(trial_id)
            if held is None:
                raise LeaseLostError([trial_id])
            return self._unwritten(trial_id, held.token)

    def _our_tables_exist(self) -> bool:
        if not self._has_our_tables:
            self._has_our_tables = self.database.read(studies.has_our_tables)
        return self._has_our_tables
