"""Where trials live: SQL, in Optuna's own tables with a few of ours beside them.

What a caller may rely on:

- A trial is told, a batch is left, a flush returns: it is on disk. Parameters, reports, attributes and epochs of a held
  trial are committed within a second, by a thread behind.
- A claim is committed; a crash of the database may undo those of its last second, as if they had never been made.
- A trial is held under a lease with a fencing token. The lease ends unless it is renewed, which the thread does; then
  anyone may take the trial over, under its number, and the late holder can write nothing to it.
- A trial that is not held and not finished is WAITING, with its parameters and reports, for every reader. Optuna's own
  ``optimize`` and ``ask`` take it too, with the parameters it had: it is continued, and never counted twice.
- Numbers are given under a lock of the study, so with a budget of N exactly the numbers 0 to N-1 exist.
- A database that is away is waited for; what is buffered meanwhile is kept and written when it is back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage.errors import (
    CheckpointError,
    CorruptStorageError,
    LeaseLostError,
    ModelError,
    ReadOnlyStorageError,
    SchemaError,
    StorageError,
    StorageFullError,
    StorageNotFoundError,
    StorageUnreachableError,
    StorageUrlError,
)
from storage.records import Amended, CheckpointRecord, Claim, WorkerRecord
from storage.storage import SQLStorage, open_storage

if TYPE_CHECKING:
    from storage.checkpoints import Checkpoint, CheckpointStore
    from storage.models import Model, ModelStore
    from storage.retention import Deletion, Retention

__all__ = [
    "Amended",
    "Checkpoint",
    "CheckpointError",
    "CheckpointRecord",
    "CheckpointStore",
    "Claim",
    "CorruptStorageError",
    "Deletion",
    "LeaseLostError",
    "Model",
    "ModelError",
    "ModelStore",
    "ReadOnlyStorageError",
    "Retention",
    "SQLStorage",
    "SchemaError",
    "StorageError",
    "StorageFullError",
    "StorageNotFoundError",
    "StorageUnreachableError",
    "StorageUrlError",
    "WorkerRecord",
    "open_storage",
]

_LATE = {
    "Checkpoint": "storage.checkpoints",
    "CheckpointStore": "storage.checkpoints",
    "Deletion": "storage.retention",
    "Model": "storage.models",
    "ModelStore": "storage.models",
    "Retention": "storage.retention",
}


def __getattr__(name: str) -> Any:
    """Import what only a training worker needs when it is asked for."""
    if name not in _LATE:
        raise AttributeError(f"module 'storage' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_LATE[name]), name)
