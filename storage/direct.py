"""Hot statements straight on the driver, and whole transactions in one round trip of PostgreSQL's.

SQLAlchemy's own work costs more than most of these statements. They are text in the driver's style; PostgreSQL's
prepares them once it has seen them a few times.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")
Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Command:
    """A statement and its values."""

    statement: str
    values: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Many:
    """A statement that is executed with many rows."""

    statement: str
    places: Sequence[int]  # of a row's values, in the order in which the statement takes them
    convert: Sequence[Callable[[Any], Any] | None]  # each as the driver takes it


@dataclass(frozen=True, kw_only=True)
class Shortcut(Generic[T]):
    """The common case of a unit of work as one transaction that needs no answer on its way.

    It is tried once and first; it either does all of the work or changes nothing. A row that is there already
    (IntegrityError) is not the common case.
    """

    commands: Callable[[], Sequence[Command]]  # one alone says itself if it may reach the disk later
    result: Callable[[list[Row]], T | None]  # of the last command's rows; None: not the common case


def fetch(connection: Connection, statement: str, values: Mapping[str, Any]) -> list[Row]:
    """Return the rows of a statement."""
    with driver_errors(connection, statement):
        rows: list[Row] = execute(connection, Command(statement=statement, values=values)).fetchall()
    return rows


def execute(connection: Connection, command: Command) -> Any:
    """Execute a command and return the driver's cursor."""
    return connection.connection.driver_connection.execute(command.statement, command.values)  # type: ignore[union-attr]


def execute_many(connection: Connection, many: Many, rows: Sequence[Row]) -> None:
    """Execute a statement with each of the rows."""
    columns = list(zip(*rows, strict=True))
    taken = [
        columns[place] if convert is None else map(convert, columns[place])
        for place, convert in zip(many.places, many.convert, strict=True)
    ]
    with driver_errors(connection, many.statement), closing(connection.connection.cursor()) as cursor:
        cursor.executemany(many.statement, list(zip(*taken, strict=True)))


@contextmanager
def pipeline(connection: Connection) -> Iterator[None]:
    """Send what is executed inside in one go; the answers are there at the end."""
    with driver_errors(connection), connection.connection.driver_connection.pipeline():  # type: ignore[union-attr]
        yield


@contextmanager
def driver_errors(connection: Connection, statement: str | None = None) -> Iterator[None]:
    """Raise the driver's errors as SQLAlchemy's."""
    dbapi = connection.dialect.loaded_dbapi
    try:
        yield
    except (dbapi.OperationalError, dbapi.InterfaceError) as error:
        raise OperationalError(statement, None, error, connection_invalidated=False) from error
    except dbapi.IntegrityError as error:
        raise IntegrityError(statement, None, error, connection_invalidated=False) from error
    except dbapi.Error as error:
        raise DBAPIError(statement, None, error, connection_invalidated=False) from error


def array(ids: Collection[int]) -> str:
    """Return the ids as the text of a PostgreSQL array."""
    return "{" + ",".join(str(int(one)) for one in ids) + "}"
