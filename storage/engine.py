"""One connection to the database, kept alive: transactions, retries, and errors in plain words."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Double, bindparam, create_engine, event, literal_column
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from storage import direct, sqlite_file, urls
from storage.direct import Command, Row, Shortcut
from storage.failures import classify, explain

if TYPE_CHECKING:
    from sqlalchemy import URL, ColumnElement, Connection, Engine

T = TypeVar("T")
S = TypeVar("S")
_logger = logging.getLogger(__name__)

PATIENCE = 60.0  # seconds that one call waits for a database that is away
_FIRST_PAUSE = 0.05  # seconds; doubled after every failure
_LONGEST_PAUSE = 2.0  # seconds
_SAY_AFTER = 1.0  # seconds of waiting before a person is told
_LAZY = "SET LOCAL synchronous_commit = off"  # PostgreSQL: this transaction reaches the disk soon, not at once
_IDLE_IN_TRANSACTION = 10_000  # ms after which PostgreSQL takes locks from a process that was stopped in a transaction
_the_parents: list[Any] = []  # after a fork: what closes a connection, as dropping it does, closes it for the parent
_BUSY_TIMEOUT = 5.0  # seconds of SQLite's own wait before it hands the wait to us


class Database:
    """A connection that outlives restarts of the database.

    All access goes through :meth:`read` and :meth:`write`, one at a time: a process costs the server one
    connection. A unit of work may run more than once, so it must be a function of the database alone.
    """

    def __init__(
        self,
        url: str,
        *,
        create: bool = True,
        patience: float = PATIENCE,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.url: URL = urls.parse(url)
        self.safe_url = urls.mask(url)
        self.dialect = self.url.get_backend_name()
        self.create = create
        self.patience = patience
        self.clock = clock
        self._lock = threading.RLock()
        self._connection: Connection | None = None
        self._engine: Engine | None = None
        self._statements: dict[Any, Any] = {}
        self._rest = ExitStack()
        self._durable: bool | None = None  # what the connection is set to now
        self.connections = 0  # made so far: with each, the database may have crashed and lost what was not on disk

    # -- units of work

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` and return what it returns; it sees what is committed when each statement starts."""
        return self._persist(lambda _: work(self._connect()))

    def write(self, work: Callable[[Connection], T], *, durable: bool = True, shortcut: Shortcut[T] | None = None) -> T:
        """Run ``work`` in one transaction and return what it returns.

        With ``durable`` the transaction is on disk on return; otherwise it is committed, which survives the
        death of this process, and reaches the disk soon after. On PostgreSQL the ``shortcut`` goes first: where
        it is enough, ``work`` is not run.
        """

        def attempt(tries: int) -> T:
            connection = self._connect()
            if shortcut is not None and tries == 0 and self.dialect == "postgresql":
                with suppress(IntegrityError):
                    done = self._at_once(connection, shortcut, durable)
                    if done is not None:
                        return done
            try:
                with ExitStack() as self._rest:
                    self._begin(connection, durable)
                    result = work(connection)
                    _command(connection, "COMMIT")
            except BaseException:
                self._rollback(connection)
                raise
            return result

        return self._persist(attempt)

    def nothing_more_is_read(self, connection: Connection) -> None:
        """Send the rest of the transaction to PostgreSQL in one go: its answers come with the commit's."""
        if self.dialect == "postgresql":
            self._rest.enter_context(direct.pipeline(connection))

    def now(self) -> ColumnElement[float]:
        """Return the SQL for the database's clock, in seconds since 1970."""
        if self.clock is not None:
            return bindparam("clock", callable_=self.clock, type_=Double())
        if self.dialect == "sqlite":
            return literal_column("((julianday('now') - 2440587.5) * 86400.0)", Double())
        if self.dialect == "postgresql":
            return literal_column("EXTRACT(EPOCH FROM clock_timestamp())::double precision", Double())
        return literal_column("(UNIX_TIMESTAMP(SYSDATE(6)) + 0e0)", Double())

    def statement(self, build: Callable[[ColumnElement[float]], S]) -> S:
        """Return the statement that ``build`` makes of the clock; building costs more than executing."""
        if build not in self._statements:
            self._statements[build] = build(self.now())
        statement: S = self._statements[build]
        return statement

    def sync(self) -> None:
        """Bring to disk what was committed without ``durable``."""
        if self.dialect == "sqlite":
            self.read(lambda c: _command(c, "PRAGMA wal_checkpoint(PASSIVE)").fetchall())
        elif self.dialect == "postgresql":
            self.write(lambda c: c.exec_driver_sql("SELECT txid_current()").close())

    def keep_history(self) -> None:
        """Switch an SQLite file to a write-ahead log, so that readers never wait for writers."""
        if self.dialect == "sqlite" and not urls.in_memory(self.url):
            self.read(lambda connection: connection.exec_driver_sql("PRAGMA journal_mode = WAL").close())

    def changes(self) -> int | None:
        """Return a number that differs once another connection has changed the database; None if unknown."""
        if self.dialect != "sqlite":
            return None
        return self.read(lambda c: int(_command(c, "PRAGMA data_version").fetchone()[0]))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other threads off the connection."""
        with self._lock:
            yield

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        with self._lock:
            self._drop()

    def forget_connection(self) -> None:
        """Leave the connection to the parent process after a fork."""
        _the_parents.append((self._connection, self._engine))
        self._lock = threading.RLock()
        self._connection, self._engine, self._durable = None, None, None

    # -- the connection

    def _persist(self, attempt: Callable[[int], T]) -> T:
        started = time.monotonic()
        pause = _FIRST_PAUSE
        said = False
        tries = 0
        while True:
            try:
                with self._lock:
                    result = attempt(tries)
            except DBAPIError as error:
                failure = classify(error, self.dialect)
                if failure.breaks_connection:
                    with self._lock:
                        self._drop()
                waited = time.monotonic() - started
                if not failure.passes or waited + pause > self.patience:
                    raise explain(error, failure, self.safe_url, waited) from None
                if failure.worth_saying and waited + pause > _SAY_AFTER and not said:
                    said = True
                    _logger.warning("waiting for %s: %s", self.safe_url, failure.value)
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, _LONGEST_PAUSE)
                tries += 1
            else:
                if said:
                    _logger.warning("%s is back after %.1f s", self.safe_url, time.monotonic() - started)
                return result

    def _begin(self, connection: Connection, durable: bool) -> None:
        if self.dialect == "sqlite":
            if durable is not self._durable:
                _command(connection, f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._durable = durable
            _command(connection, "BEGIN IMMEDIATE")
        elif self.dialect == "postgresql" and not durable:
            _command(connection, f"BEGIN; {_LAZY}")
        else:
            _command(connection, "BEGIN")

    def _at_once(self, connection: Connection, shortcut: Shortcut[T], durable: bool) -> T | None:
        commands = shortcut.commands()
        if len(commands) == 1:
            return shortcut.result(_alone(connection, commands[0]))
        try:
            with direct.pipeline(connection):
                _command(connection, "BEGIN")
                if not durable:
                    _command(connection, _LAZY)
                cursors = [direct.execute(connection, command) for command in commands]
                _command(connection, "COMMIT")
        except BaseException:
            self._rollback(connection)
            raise
        return shortcut.result(cursors[-1].fetchall())

    def _rollback(self, connection: Connection) -> None:
        try:
            if self.dialect == "sqlite" and not connection.connection.driver_connection.in_transaction:  # type: ignore[union-attr]
                return  # SQLite has rolled back by itself: the disk is full
            _command(connection, "ROLLBACK")
        except SQLAlchemyError:
            self._drop()

    def _connect(self) -> Connection:
        if self._connection is not None and self._connection.invalidated:
            self._drop()  # Ctrl-C came in the middle of a statement
        if self._connection is None:
            if self._engine is None:
                self._engine = self._make_engine()
            self._connection = self._engine.connect()
            self.connections += 1
            self._durable = None
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):  # it may be broken in any way
                connection.invalidate()
            with suppress(SQLAlchemyError):
                connection.close()

    def _make_engine(self) -> Engine:
        options: dict[str, Any] = {"poolclass": NullPool, "isolation_level": "AUTOCOMMIT"}
        if self.dialect == "sqlite":
            options["creator"] = partial(sqlite_file.connect, self.url.database, self._busy_timeout())
            sqlite_file.check_place(self.url.database, self.create, self.safe_url)
            return create_engine("sqlite://", **options)
        engine = create_engine(self.url, connect_args=self._connect_arguments(), **options)
        event.listen(engine, "connect", _set_up_mysql if self.dialect == "mysql" else _set_up_postgresql)
        return engine

    def _busy_timeout(self) -> float:
        return min(_BUSY_TIMEOUT, self.patience)

    def _connect_arguments(self) -> Mapping[str, Any]:
        if self.dialect == "postgresql":
            return {
                "connect_timeout": 5,
                "application_name": "tuner",
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 20_000,
            }
        return {"connect_timeout": 5, "read_timeout": 30, "write_timeout": 30}


def _command(connection: Connection, statement: str) -> Any:
    """Execute a constant statement straight on the driver, which is much cheaper, and return its cursor."""
    dbapi = connection.dialect.loaded_dbapi
    try:
        cursor = connection.connection.cursor()
        cursor.execute(statement)
    except dbapi.Error as error:
        raise OperationalError(statement, None, error, connection_invalidated=False) from error
    return cursor


def _alone(connection: Connection, command: Command) -> list[Row]:
    """Execute a statement that is a transaction of its own, in one round trip, and return its rows."""
    return direct.fetch(connection, command.statement, command.values)


def _set_up_postgresql(connection: Any, _: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET idle_in_transaction_session_timeout = {_IDLE_IN_TRANSACTION}")
    connection.commit()


def _set_up_mysql(connection: Any, _: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
