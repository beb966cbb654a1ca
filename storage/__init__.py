"""Where trials live: SQL, in Optuna's own tables with a few of ours beside them."""

from __future__ import annotations

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

__all__ = [
    "CheckpointError",
    "CheckpointRecord",
    "Claim",
    "CorruptStorageError",
    "LeaseLostError",
    "ReadOnlyStorageError",
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
