"""Database URLs: as people write them, as SQLAlchemy wants them, and as they may be shown."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from storage.errors import StorageUrlError


class Driver(NamedTuple):
    name: str  # SQLAlchemy's name for dialect and driver
    module: str
    package: str  # what to install


DRIVERS = {
    "sqlite": Driver("sqlite", "sqlite3", ""),
    "postgresql": Driver("postgresql+psycopg", "psycopg", "psycopg[binary]"),
    "postgres": Driver("postgresql+psycopg", "psycopg", "psycopg[binary]"),
    "mysql": Driver("mysql+pymysql", "pymysql", "PyMySQL"),
    "mariadb": Driver("mysql+pymysql", "pymysql", "PyMySQL"),
}


def mask(text: str) -> str:
    """Return the text with the password of every URL in it replaced by ``***``.

    A password may hold anything, ``/``, ``@`` and blanks too: what lies between the name before it and the last ``@``
    of the line is not shown, be it more than a password.
    """
    masked = re.sub(r"(://[^:/\n]*):.*@", r"\1:***@", text)
    return re.sub(r"([?&](?:password|passwd|sslpassword)=)[^&\n]*", r"\1***", masked)


def parse(text: str) -> URL:
    """Return the URL with the driver that this package uses.

    Raises:
        StorageUrlError: the URL is malformed, names no known database, or its driver is not installed.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise StorageUrlError(
            f"storage URL '{mask(text)}' is not a URL; write sqlite:///tuner.db, "
            "postgresql://user@host/name or mysql://user@host/name"
        ) from error
    dialect = url.drivername.partition("+")[0]
    driver = DRIVERS.get(dialect)
    if driver is None:
        raise StorageUrlError(
            f"storage URL '{mask(text)}': unknown database '{dialect}'; sqlite, postgresql and mysql are known"
        )
    if importlib.util.find_spec(driver.module) is None:
        raise StorageUrlError(
            f"storage URL '{mask(text)}' needs the driver {driver.module}: pip install '{driver.package}'"
        )
    return url.set(drivername=driver.name)


def in_memory(url: URL) -> bool:
    """Whether this is an SQLite database that lives in this process only."""
    return url.get_backend_name() == "sqlite" and url.database in {None, "", ":memory:"}


def beside(url: URL, folder: str) -> str:
    """Return the path of ``folder`` beside the SQLite file; of another database, in the working folder."""
    if url.get_backend_name() != "sqlite" or in_memory(url):
        return folder
    return str(Path(url.database or "").parent / folder)
