"""Where trials live: SQL, in Optuna's own tables with a few of ours beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage.errors import (
    CheckpointError,
    CorruptStorageError,
    LeaseLostError,
    ReadOnlyStorageError,
    SchemaError,
    StorageError,
    StorageFullError,
    StorageNotFoundError,
    StorageUnreachableError,
    StorageUrlError,
)
from storage.records import CheckpointRecord, Claim, WorkerRecord
from storage.storage import SQLStorage, open_storage

if TYPE_CHECKING:
    from storage.checkpoints import Checkpoint, CheckpointStore
    from storage.retention import Deletion, Retention

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "CheckpointRecord",
    "CheckpointStore",
    "Claim",
    "CorruptStorageError",
    "Deletion",
    "LeaseLostError",
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
    "Retention": "storage.retention",
}


def __getattr__(name: str) -> Any:
    """Import what only a training worker needs when it is asked for."""
    if name not in _LATE:
        raise AttributeError(f"module 'storage' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_LATE[name]), name)
