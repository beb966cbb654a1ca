"""SQLite files: opening them, also where they can only be read."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from storage.errors import StorageNotFoundError


def check_place(database: str | None, create: bool, safe_url: str) -> None:
    """Refuse a file that is not there and may not be made.

    Raises:
        StorageNotFoundError: there is no such file, or no folder for it.
    """
    if _is_memory(database) or str(database).startswith("file:"):
        return
    path = Path(str(database))
    if not path.parent.is_dir():
        raise StorageNotFoundError(f"storage '{safe_url}': there is no folder {path.parent}; make it or name another")
    if not create and not path.exists():
        raise StorageNotFoundError(
            f"storage '{safe_url}': there is no file {path}; check the path, or start a study to make it"
        )


def connect(database: str | None, busy_timeout: float) -> sqlite3.Connection:
    """Open the file; one that cannot be written is opened for reading, and nothing is written beside it."""
    name, uri = database or ":memory:", False
    if not _is_memory(database):
        if name.startswith("file:"):
            uri = True
        elif _only_readable(Path(name)):
            name, uri = _for_reading(Path(name)), True
    return sqlite3.connect(name, timeout=busy_timeout, check_same_thread=False, uri=uri)


def _is_memory(database: str | None) -> bool:
    return database in {None, "", ":memory:"}


def _only_readable(path: Path) -> bool:
    effective = os.access in os.supports_effective_ids
    return path.exists() and not all(
        os.access(place, os.W_OK, effective_ids=effective) for place in (path, path.parent)
    )


def _for_reading(path: Path) -> str:
    name = f"file:{quote(str(path.absolute()))}?mode=ro"
    log = path.with_name(path.name + "-wal")
    # With a write-ahead log SQLite wants a file of shared memory beside it, which it cannot make here.
    return name if log.exists() and log.stat().st_size else name + "&immutable=1"
