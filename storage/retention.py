"""Which checkpoints stay: decided here, without touching a disk."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from optuna.trial import TrialState

from storage.records import CheckpointRecord


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How much is kept. The newest checkpoint of a trial that is not finished always is."""

    keep_best: int = 3  # finished trials whose last checkpoint stays
    keep_each: int = 2  # checkpoints of a trial that is not finished: the newest may be torn
    max_bytes: int | None = None  # of all checkpoints of the study; None: no limit

    def __post_init__(self) -> None:
        if self.keep_best < 0:
            raise ValueError(f"keep best must be 0 or more trials, got {self.keep_best}")
        if self.keep_each < 1:
            raise ValueError(f"a trial needs 1 checkpoint or more, got {self.keep_each}")
        if self.max_bytes is not None and self.max_bytes < 0:
            raise ValueError(f"the limit of the disk must be 0 or more bytes, got {self.max_bytes}")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A checkpoint with what is known about its trial."""

    record: CheckpointRecord
    number: int
    state: TrialState
    score: float  # lower is better; NaN: unknown


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """A checkpoint that goes, and why."""

    record: CheckpointRecord
    number: int
    reason: str


def plan(kept: Iterable[Kept], retention: Retention) -> list[Deletion]:
    """Return what is to be deleted, in the order in which it should be."""
    by_trial = [
        sorted(group, key=lambda k: -k.record.epoch)
        for _, group in groupby(sorted(kept, key=lambda k: k.number), key=lambda k: k.number)
    ]
    goes: list[Deletion] = []
    spare: list[Kept] = []  # may go if the disk limit asks for it, the least wanted first
    finished = [group for group in by_trial if group[0].state is TrialState.COMPLETE]
    finished.sort(key=lambda group: (math.isnan(group[0].score), group[0].score, group[0].number))
    for place, group in enumerate(finished):
        if place < retention.keep_best:
            goes += _deletions(group[1:], "the trial is finished, its last checkpoint stays")
            spare.insert(0, group[0])
        else:
            goes += _deletions(group, f"the trial is finished and not among the best {retention.keep_best}")
    for group in by_trial:
        if group[0].state in {TrialState.PRUNED, TrialState.FAIL}:
            goes += _deletions(group, f"the trial was {'pruned' if group[0].state is TrialState.PRUNED else 'failed'}")
        elif not group[0].state.is_finished():
            goes += _deletions(group[retention.keep_each :], f"{retention.keep_each} newer ones exist")
            spare += group[1 : retention.keep_each]
    if retention.max_bytes is not None:
        goes += _until_it_fits([k for group in by_trial for k in group], goes, spare, retention.max_bytes)
    return goes


def _until_it_fits(
    all_kept: Sequence[Kept], goes: Sequence[Deletion], spare: Sequence[Kept], limit: int
) -> list[Deletion]:
    size = sum(k.record.bytes for k in all_kept) - sum(deletion.record.bytes for deletion in goes)
    more: list[Deletion] = []
    for candidate in spare:
        if size <= limit:
            break
        size -= candidate.record.bytes
        more += _deletions([candidate], f"all together exceed {limit} bytes")
    return more


def _deletions(group: Iterable[Kept], reason: str) -> list[Deletion]:
    return [Deletion(record=kept.record, number=kept.number, reason=reason) for kept in group]
