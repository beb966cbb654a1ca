"""Many rows of many tables at once: one statement on PostgreSQL, one a table elsewhere."""

from __future__ import annotations

import enum
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

from storage import direct
from storage.direct import Command

if TYPE_CHECKING:
    from sqlalchemy import Column, Connection, Table
    from sqlalchemy.sql.dml import Insert, Update

_POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]
_GUARD = "(SELECT holds FROM guard)"
_NO_GUARD = "SELECT TRUE AS holds"


@dataclass(frozen=True, kw_only=True)
class Target:
    """Rows of a table, found by their keys."""

    table: Table
    keys: tuple[str, ...]
    columns: tuple[str, ...]  # of every row, the keys among them
    exists: bool = False  # the rows are there and are updated; otherwise they are inserted, or updated if there


Changes = Sequence[tuple[Target, list[dict[str, Any]]]]


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
        command = all_at_once(changes)
        with direct.driver_errors(connection, command.statement):
            direct.execute(connection, command)
        return
    for target, rows in changes:
        if target.exists:
            (key,) = target.keys
            values = [{("of_" + name if name == key else name): value for name, value in row.items()} for row in rows]
            connection.execute(_update(target), values)
        else:
            connection.execute(_upsert(connection.dialect.name, target), rows)


@functools.lru_cache(maxsize=64)
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


@functools.lru_cache(maxsize=64)
def _update(target: Target) -> Update:
    (key,) = target.keys
    values: dict[str, Any] = {name: bindparam(name) for name in target.columns if name != key}
    return update(target.table).where(target.table.c[key] == bindparam("of_" + key)).values(values)


def all_at_once(changes: Changes, guard: Guard | None = None) -> Command:
    """Return PostgreSQL's one statement for all targets; its answer is the guard's, on which all depends."""
    changes = [(target, rows) for target, rows in changes if rows]
    statement = _all_at_once(tuple(target for target, _ in changes), _NO_GUARD if guard is None else guard.query)
    values: dict[str, Any] = {} if guard is None else dict(guard.values)
    for place, (target, rows) in enumerate(changes):
        values[f"rows{place}"] = json.dumps(rows, default=_plain)
        if target.exists:
            values[f"ids{place}"] = direct.array([row[target.keys[0]] for row in rows])
    return Command(statement=statement, values=values)


@functools.lru_cache(maxsize=256)
def _all_at_once(targets: tuple[Target, ...], guard: str) -> str:
    """Return one statement that takes the rows of each target as a JSON text."""
    parts = "".join(f", part{place} AS ({_part(target, place)})" for place, target in enumerate(targets))
    return f"WITH guard AS MATERIALIZED ({guard}){parts} SELECT holds FROM guard"  # noqa: S608


def _part(target: Target, place: int) -> str:
    # Every name in it is the schema's.
    types = ", ".join(f"{name} {_type(target.table.c[name])}" for name in target.columns)
    rows = f"json_to_recordset(CAST(%(rows{place})s AS json)) AS r({types})"
    updated = [name for name in target.columns if name not in target.keys]
    table, columns = target.table.name, ", ".join(target.columns)
    if target.exists:
        assigned = ", ".join(f"{name} = r.{name}" for name in updated)
        (key,) = target.keys
        # The ids a second time: PostgreSQL cannot guess that r is short, and would read the whole table.
        few = f"{table}.{key} = ANY(CAST(%(ids{place})s AS integer[]))"
        return f"UPDATE {table} SET {assigned} FROM {rows} WHERE {table}.{key} = r.{key} AND {few} AND {_GUARD}"  # noqa: S608
    assigned = ", ".join(f"{name} = excluded.{name}" for name in updated)
    conflict = f"ON CONFLICT ({', '.join(target.keys)}) DO UPDATE SET {assigned}"
    return f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {rows} WHERE {_GUARD} {conflict}"  # noqa: S608


def _type(column: Column[Any]) -> str:
    return str(column.type.compile(dialect=_POSTGRESQL))


def _plain(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{value!r} cannot be stored")
