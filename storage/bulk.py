"""Many rows of many tables at once: one statement on PostgreSQL, one a table elsewhere."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Enum, Float, Integer, String, bindparam, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

from storage import direct
from storage.direct import Command

if TYPE_CHECKING:
    from sqlalchemy import Column, Connection, Table
    from sqlalchemy.sql.dml import Insert, Update

_POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]
_SQLITE = sqlite.dialect()
_GUARD = "(SELECT holds FROM guard)"
_NO_GUARD = "SELECT TRUE AS holds"


@dataclass(frozen=True, kw_only=True)
class Target:
    """Rows of a table, found by their keys."""

    table: Table
    keys: tuple[str, ...]
    columns: tuple[str, ...]  # of every row, the keys among them
    exists: bool = False  # the rows are there and are updated; otherwise they are inserted, or updated if there
    once: bool = False  # nobody but us writes the rows, and as a rule only once


Row = tuple[Any, ...]
Changes = Sequence[tuple[Target, list[Row]]]  # rows of values in the order of the target's columns


@dataclass(frozen=True, kw_only=True)
class Guard:
    """A query of PostgreSQL's with one answer, ``holds``; where it is false, nothing is written."""

    query: str
    values: Mapping[str, Any]


def write(connection: Connection, changes: Changes) -> None:
    """Insert or update the rows of every target."""
    changes = [(target, rows) for target, rows in changes if rows]
    if not changes:
        return
    if connection.dialect.name == "postgresql":
        command = _command(changes, _NO_GUARD, {}, anew=False)
        with direct.driver_errors(connection, command.statement):
            direct.execute(connection, command)
        return
    for target, rows in changes:
        if connection.dialect.name == "sqlite":
            direct.execute_many(connection, _sql(target), rows)
        else:
            statement = _statement(connection.dialect.name, target)
            connection.execute(statement, [dict(zip(_names(target), row, strict=True)) for row in rows])


def _names(target: Target) -> list[str]:
    """Return what :func:`_statement` calls the values of a row, in their order."""
    return ["of_" + name if target.exists and name in target.keys else name for name in target.columns]


@functools.lru_cache(maxsize=64)
def _sql(target: Target) -> direct.Many:
    """Return SQLite's statement as its driver takes it: SQLAlchemy's own work on each row costs more than the row."""
    compiled = _statement("sqlite", target).compile(dialect=_SQLITE)
    names = _names(target)
    places = [names.index(name) for name in compiled.positiontup or ()]
    types = [target.table.c[target.columns[place]].type for place in places]
    convert = [kind.dialect_impl(_SQLITE).bind_processor(_SQLITE) for kind in types]
    return direct.Many(statement=str(compiled), places=places, convert=convert)


@functools.lru_cache(maxsize=64)
def _statement(dialect: str, target: Target) -> Insert | Update:
    return _update(target) if target.exists else _upsert(dialect, target)


def _upsert(dialect: str, target: Target) -> Insert:
    updated = [name for name in target.columns if name not in target.keys]
    values: dict[str, Any] = {name: bindparam(name) for name in target.columns}
    if dialect == "sqlite":
        lite = sqlite.insert(target.table).values(values)
        return lite.on_conflict_do_update(
            index_elements=target.keys, set_={name: lite.excluded[name] for name in updated}
        )
    my = mysql.insert(target.table).values(values)
    return my.on_duplicate_key_update({name: my.inserted[name] for name in updated})


def _update(target: Target) -> Update:
    (key,) = target.keys
    values: dict[str, Any] = {name: bindparam(name) for name in target.columns if name != key}
    return update(target.table).where(target.table.c[key] == bindparam("of_" + key)).values(values)


def all_at_once(changes: Changes, guard: Guard) -> Command:
    """Return PostgreSQL's one statement for all targets; its answer is the guard's, on which all depends.

    Rows that are written once as a rule are taken to be new: where one is there already, the whole statement fails
    with an IntegrityError, and :func:`write` is the way.
    """
    return _command([(target, rows) for target, rows in changes if rows], guard.query, guard.values, anew=True)


def _command(changes: Changes, guard: str, guarding: Mapping[str, Any], *, anew: bool) -> Command:
    values = dict(guarding)
    for place, (target, rows) in enumerate(changes):
        for name, column in zip(target.columns, zip(*rows, strict=True), strict=True):
            values[f"{name}{place}"] = _array(target.table.c[name], column)
    alone = all(len(rows) == 1 for target, rows in changes if target.exists)
    return Command(statement=_all_at_once(tuple(target for target, _ in changes), guard, anew, alone), values=values)


@functools.lru_cache(maxsize=256)
def _all_at_once(targets: tuple[Target, ...], guard: str, anew: bool, alone: bool) -> str:
    """Return one statement that takes the rows of each target as an array for each column.

    ``alone``: of the targets whose rows exist, one row each.
    """
    parts = "".join(f", part{place} AS ({_part(target, place, anew, alone)})" for place, target in enumerate(targets))
    return f"WITH guard AS MATERIALIZED ({guard}){parts} SELECT holds FROM guard"  # noqa: S608


def among(array: str, *, alone: bool) -> str:
    """Return what an id is equal to that is in the array, or ``alone`` in it.

    Of one, PostgreSQL knows without planning anew that it is one.
    """
    return f"({array})[1]" if alone else f"ANY({array})"


def _part(target: Target, place: int, anew: bool, alone: bool) -> str:
    # Every name in it is the schema's.
    table, columns = target.table.name, ", ".join(target.columns)
    arrays = {name: f"CAST(%({name}{place})s AS {_type(target.table.c[name])}[])" for name in target.columns}
    rows = f"unnest({', '.join(arrays.values())}) AS r({columns})"
    updated = [name for name in target.columns if name not in target.keys]
    if target.exists:
        assigned = ", ".join(f"{name} = r.{name}" for name in updated)
        (key,) = target.keys
        # The ids a second time: PostgreSQL cannot guess that r is short, and would read the whole table.
        few = f"{table}.{key} = {among(arrays[key], alone=alone)}"
        return f"UPDATE {table} SET {assigned} FROM {rows} WHERE {table}.{key} = r.{key} AND {few} AND {_GUARD}"  # noqa: S608
    insert = f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {rows} WHERE {_GUARD}"  # noqa: S608
    if anew and target.once:  # a fifth less work
        return insert
    assigned = ", ".join(f"{name} = excluded.{name}" for name in updated)
    return f"{insert} ON CONFLICT ({', '.join(target.keys)}) DO UPDATE SET {assigned}"


def _type(column: Column[Any]) -> str:
    if isinstance(column.type, String) and not isinstance(column.type, Enum):
        return "text"  # cast to its own type, a text that is too long for it would be cut off and not refused
    return str(column.type.compile(dialect=_POSTGRESQL))


def _array(column: Column[Any], values: Row) -> str:
    """Return the values as the text of a PostgreSQL array, several times quicker than the driver does."""
    if isinstance(column.type, Integer | Float):
        elements = json.dumps(values)[1:-1]
    elif isinstance(column.type, Enum):
        elements = ",".join([value.name for value in values])
    else:
        elements = ",".join(["NULL" if value is None else _quoted(str(value)) for value in values])
    return "{" + elements + "}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
