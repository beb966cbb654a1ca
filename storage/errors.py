"""What can go wrong with a storage. No message ever carries a password."""

from __future__ import annotations

from collections.abc import Iterable

from optuna.exceptions import StorageInternalError


class StorageError(StorageInternalError):
    """The storage could not do what was asked."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class StorageUrlError(StorageError):
    """The storage URL cannot be used."""


class StorageNotFoundError(StorageError):
    """There is no storage at that place."""


class StorageUnreachableError(StorageError):
    """The database could not be reached for longer than workers wait for it."""


class StorageFullError(StorageUnreachableError):
    """The disk under the database is full, and stayed so for longer than workers wait for it."""


class SchemaError(StorageError):
    """The tables of the database are older or newer than this version understands."""


class ReadOnlyStorageError(StorageError):
    """The storage can only be read."""


class CorruptStorageError(StorageError):
    """The file is not a database, or it is damaged."""


class CheckpointError(StorageError):
    """A checkpoint could not be written or read."""


class ModelError(StorageError):
    """A kept model could not be read or written."""


class LeaseLostError(StorageError):
    """The trial belongs to another worker now; nothing was written to it."""

    def __init__(self, trial_ids: Iterable[int]) -> None:
        self.trial_ids = frozenset(trial_ids)
        names = ", ".join(str(trial_id) for trial_id in sorted(self.trial_ids))
        super().__init__(
            f"The lease of trial id {names} is gone: it expired, was released or taken over by another "
            "worker, so nothing was written to it."
        )
