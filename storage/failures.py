"""What an error of a database driver means: wait and try again, or tell a person what to do."""

from __future__ import annotations

import enum
from typing import Any

from sqlalchemy.exc import DBAPIError, OperationalError

from storage import urls
from storage.errors import (
    CorruptStorageError,
    ReadOnlyStorageError,
    StorageError,
    StorageFullError,
    StorageUnreachableError,
)


class Failure(enum.Enum):
    """The kinds of failure, each with the words for a person."""

    BUSY = "other workers are writing"
    CONFLICT = "another transaction came first"
    UNREACHABLE = "the database does not answer"
    FULL = "the disk is full"
    READ_ONLY = "it can only be read"
    CORRUPT = "the file is damaged or not a database"
    REFUSED = "the database refuses this user, password or database name"
    OTHER = "the database reports an error"

    @property
    def passes(self) -> bool:
        """Whether waiting may help."""
        return self in {Failure.BUSY, Failure.CONFLICT, Failure.UNREACHABLE, Failure.FULL}

    @property
    def breaks_connection(self) -> bool:
        return self in {Failure.UNREACHABLE, Failure.CORRUPT, Failure.REFUSED, Failure.READ_ONLY}

    @property
    def worth_saying(self) -> bool:
        return self is not Failure.CONFLICT


_SQLITE = (
    ("database is locked", Failure.BUSY),
    ("database table is locked", Failure.BUSY),
    ("database schema has changed", Failure.CONFLICT),
    ("disk is full", Failure.FULL),
    ("readonly database", Failure.READ_ONLY),
    ("unable to open database file", Failure.READ_ONLY),
    ("malformed", Failure.CORRUPT),
    ("not a database", Failure.CORRUPT),
    ("disk i/o error", Failure.UNREACHABLE),
)
_POSTGRESQL_STATES = {
    "40001": Failure.CONFLICT,
    "40P01": Failure.CONFLICT,
    "53100": Failure.FULL,
    "53300": Failure.UNREACHABLE,  # too many connections
    "57P01": Failure.UNREACHABLE,  # shut down by the administrator
    "57P02": Failure.UNREACHABLE,
    "57P03": Failure.UNREACHABLE,  # starting up
    "25P03": Failure.UNREACHABLE,  # this process stood still in a transaction
    "25006": Failure.READ_ONLY,
    "28P01": Failure.REFUSED,
    "28000": Failure.REFUSED,
    "3D000": Failure.REFUSED,
}
_MYSQL_CODES = {
    1205: Failure.CONFLICT,
    1213: Failure.CONFLICT,
    1021: Failure.FULL,
    1114: Failure.FULL,
    1040: Failure.UNREACHABLE,
    1053: Failure.UNREACHABLE,
    1290: Failure.READ_ONLY,
    1836: Failure.READ_ONLY,
    1044: Failure.REFUSED,
    1045: Failure.REFUSED,
    1049: Failure.REFUSED,
    2002: Failure.UNREACHABLE,  # from here on it is the client that says so
    2003: Failure.UNREACHABLE,
    2006: Failure.UNREACHABLE,  # the server has gone away
    2013: Failure.UNREACHABLE,  # … during a query
    2055: Failure.UNREACHABLE,
    0: Failure.UNREACHABLE,  # PyMySQL on a connection that broke before
}


def classify(error: DBAPIError, dialect: str) -> Failure:
    """Return what the error means."""
    original: Any = error.orig
    text = str(original).lower()
    if dialect == "sqlite":
        return next((failure for words, failure in _SQLITE if words in text), Failure.OTHER)
    if dialect == "postgresql":
        state = getattr(original, "sqlstate", None)
        known = _POSTGRESQL_STATES.get(state or "")
        if known is None and state is not None and not state.startswith("08"):
            known = Failure.OTHER  # the server answered: it is there
        if known is None and "authentication failed" in text:
            known = Failure.REFUSED
        if known is None and 'database "' in text and "does not exist" in text:
            known = Failure.REFUSED
    else:
        code = original.args[0] if original is not None and original.args else None
        known = _MYSQL_CODES.get(code) if isinstance(code, int) else None
    if known is not None:
        return known
    if error.connection_invalidated or (isinstance(error, OperationalError) and error.statement is None):
        return Failure.UNREACHABLE
    if isinstance(error, OperationalError) and dialect == "postgresql" and not getattr(original, "sqlstate", None):
        return Failure.UNREACHABLE  # psycopg: the connection broke, no answer from the server
    return Failure.OTHER


def explain(error: DBAPIError, failure: Failure, safe_url: str, waited: float) -> StorageError:
    """Return the error to raise, in one line that names the storage and the remedy."""
    reason = " ".join(urls.mask(str(error.orig)).split())
    kind, words = {
        Failure.FULL: (StorageFullError, f": the disk is full ({reason}); waited {waited:.0f} s"),
        Failure.BUSY: (StorageUnreachableError, f": {failure.value}, for {waited:.0f} s now; try again"),
        Failure.CONFLICT: (StorageUnreachableError, f": {failure.value} ({reason}); waited {waited:.0f} s"),
        Failure.UNREACHABLE: (StorageUnreachableError, f": {failure.value} ({reason}); waited {waited:.0f} s"),
        Failure.REFUSED: (StorageUnreachableError, f": {failure.value} ({reason})"),
        Failure.READ_ONLY: (
            ReadOnlyStorageError,
            f" cannot be written ({reason}); check the permissions of the file and its folder",
        ),
        Failure.CORRUPT: (
            CorruptStorageError,
            f" is damaged or not a database ({reason}); restore a copy or name another file",
        ),
        Failure.OTHER: (StorageError, f": {reason}"),
    }[failure]
    return kind(f"storage '{safe_url}'{words}")
