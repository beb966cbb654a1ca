"""Many rows of many tables at once: one statement on PostgreSQL, one a table elsewhere."""

from __future__ import annotations

import enum
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, text, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

if TYPE_CHECKING:
    from sqlalchemy import Column, Connection, Table, TextClause
    from sqlalchemy.sql.dml import Insert, Update

_POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, kw_only=True)
class Target:
    """Rows of a table, found by their keys."""

    table: Table
    keys: tuple[str, ...]
    columns: tuple[str, ...]  # of every row, the keys among them
    exists: bool = False  # the rows are there and are updated; otherwise they are inserted, or updated if there


def write(connection: Connection, changes: Sequence[tuple[Target, list[dict[str, Any]]]]) -> None:
    """Insert or update the rows of every target."""
    changes = [(target, rows) for target, rows in changes if rows]
    if not changes:
        return
    if connection.dialect.name == "postgresql":
        statement = _all_at_once(tuple(target for target, _ in changes))
        texts = {f"rows{place}": json.dumps(rows, default=_plain) for place, (_, rows) in enumerate(changes)}
        for place, (target, rows) in enumerate(changes):
            if target.exists:
                texts[f"ids{place}"] = "{" + ",".join(str(int(row[target.keys[0]])) for row in rows) + "}"
        connection.execute(statement, texts)
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


@functools.lru_cache(maxsize=256)
def _all_at_once(targets: tuple[Target, ...]) -> TextClause:
    """Return one statement that takes the rows of each target as a JSON text."""
    parts = ", ".join(f"part{place} AS ({_part(target, place)})" for place, target in enumerate(targets))
    return text(f"WITH {parts} SELECT 1")


def _part(target: Target, place: int) -> str:
    # Every name in it is the schema's.
    types = ", ".join(f"{name} {_type(target.table.c[name])}" for name in target.columns)
    rows = f"json_to_recordset(CAST(:rows{place} AS json)) AS r({types})"
    updated = [name for name in target.columns if name not in target.keys]
    table, columns = target.table.name, ", ".join(target.columns)
    if target.exists:
        assigned = ", ".join(f"{name} = r.{name}" for name in updated)
        (key,) = target.keys
        # The ids a second time: PostgreSQL cannot guess that r is short, and would read the whole table.
        few = f"{table}.{key} = ANY(CAST(:ids{place} AS integer[]))"
        return f"UPDATE {table} SET {assigned} FROM {rows} WHERE {table}.{key} = r.{key} AND {few}"  # noqa: S608
    assigned = ", ".join(f"{name} = excluded.{name}" for name in updated)
    conflict = f"ON CONFLICT ({', '.join(target.keys)}) DO UPDATE SET {assigned}"
    return f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {rows} {conflict}"  # noqa: S608


def _type(column: Column[Any]) -> str:
    return str(column.type.compile(dialect=_POSTGRESQL))


def _plain(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{value!r} cannot be stored")
