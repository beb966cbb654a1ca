"""Everything that can go wrong, and the exit code the command line gives it."""

from __future__ import annotations

from typing import ClassVar


class TunerError(Exception):
    """The tuner could not do what was asked."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class UsageError(TunerError):
    """The command, the study file or the data cannot be used as given."""

    exit_code = 2


class SpecError(UsageError):
    """The study file is not valid."""


class DataError(UsageError):
    """The data cannot be used."""


class StudyNotFoundError(TunerError):
    """There is no study of that name in the storage."""

    exit_code = 3


class NoFinishedTrialError(TunerError):
    """The study has no finished trial yet."""

    exit_code = 4


class StudyConflictError(TunerError):
    """The study file conflicts with the stored study."""

    exit_code = 5


class StorageUnreachableError(TunerError):
    """The storage cannot be reached."""

    exit_code = 6


class StorageNotFoundError(StorageUnreachableError):
    """There is no storage at that place."""


class ObjectiveError(TunerError):
    """The objective's own code failed."""

    def __init__(self, message: str | None = None, *, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback
        """The person's frames of it, empty when there is none to show."""
