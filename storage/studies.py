"""Studies: their rows, attributes, budget, stop flag and workers; each function one unit of work in SQL."""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optuna.exceptions import DuplicatedStudyError
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from sqlalchemy import and_, delete, func, insert, inspect, or_, select, update
from sqlalchemy.exc import IntegrityError

from storage import bulk, machine, schema
from storage.bulk import Target
from storage.leases import lock_study, seconds_now
from storage.records import WorkerRecord

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

    from storage.engine import Database

_NAME_PREFIX = "no-name-"  # Optuna's prefix of generated names
_studies = schema.studies


def create(connection: Connection, directions: Sequence[StudyDirection], name: str | None) -> int:
    """Insert a study and return its id.

    Raises:
        DuplicatedStudyError: the name is taken.
    """
    name = _NAME_PREFIX + str(uuid.uuid4()) if name is None else name
    taken = DuplicatedStudyError(f"there is a study '{name}' already; choose another name, or resume it")
    if connection.execute(select(_studies.c.study_id).where(_studies.c.study_name == name)).scalar() is not None:
        raise taken
    try:
        inserted = connection.execute(insert(_studies).values(study_name=name)).inserted_primary_key
    except IntegrityError:  # somebody else created it meanwhile
        raise taken from None
    assert inserted is not None
    study_id = int(inserted[0])
    rows = [
        {"study_id": study_id, "objective": objective, "direction": direction}
        for objective, direction in enumerate(directions)
    ]
    connection.execute(insert(schema.study_directions), rows)
    return study_id


@dataclass(frozen=True, kw_only=True)
class NewStudy:
    """A study with all that it starts with."""

    name: str
    directions: Sequence[StudyDirection]
    user_attrs: Mapping[str, Any]
    system_attrs: Mapping[str, Any]
    budget: int | None
    folder: str = field(default_factory=lambda: uuid.uuid4().hex[:12])  # see :func:`folder`


def create_whole(connection: Connection, new: NewStudy) -> int:
    """Insert a study with its attributes and budget and return its id; done twice, it is the same study.

    Raises:
        DuplicatedStudyError: the name is taken by another study.
    """
    ours = schema.tuner_studies
    made = connection.execute(select(ours.c.study_id).where(ours.c.folder == new.folder)).scalar()
    if made is not None:
        return int(made)
    study_id = create(connection, new.directions, new.name)
    for table, values in (
        (schema.study_user_attributes, new.user_attrs),
        (schema.study_system_attributes, new.system_attrs),
    ):
        write_attributes(connection, table, study_id, {key: json.dumps(value) for key, value in values.items()})
    connection.execute(insert(ours).values(study_id=study_id, budget=new.budget, folder=new.folder))
    return study_id


def write_attributes(connection: Connection, table: Table, study_id: int, texts: Mapping[str, str]) -> None:
    """Write the study's user or system attributes, given as JSON."""
    rows = [(study_id, key, text) for key, text in texts.items()]
    target = Target(table=table, keys=("study_id", "key"), columns=("study_id", "key", "value_json"))
    bulk.write(connection, [(target, rows)])


def delete_study(connection: Connection, study_id: int, ours: bool) -> None:
    """Delete the study with all that belongs to it.

    Raises:
        KeyError: there is no such study.
    """
    require(connection, study_id)
    trial_ids = select(schema.trials.c.trial_id).where(schema.trials.c.study_id == study_id).scalar_subquery()
    own_tables = tuple(schema.our_tables.tables.values()) if ours else ()
    for table in (*schema.TRIAL_DETAILS, *own_tables):
        if "trial_id" in table.c:
            connection.execute(delete(table).where(table.c.trial_id.in_(trial_ids)))
    for table in (schema.trials, *schema.STUDY_DETAILS, *own_tables, _studies):
        if "study_id" in table.c:
            connection.execute(delete(table).where(table.c.study_id == study_id))


def require(connection: Connection, study_id: int) -> str:
    """Return the study's name.

    Raises:
        KeyError: there is no such study.
    """
    name = connection.execute(select(_studies.c.study_name).where(_studies.c.study_id == study_id)).scalar()
    if name is None:
        raise KeyError(f"there is no study with id {study_id}")
    return str(name)


def find(connection: Connection, name: str) -> int:
    """Return the id of the study of that name.

    Raises:
        KeyError: there is none.
    """
    study_id = connection.execute(select(_studies.c.study_id).where(_studies.c.study_name == name)).scalar()
    if study_id is None:
        raise KeyError(f"there is no study '{name}'")
    return int(study_id)


def directions(connection: Connection, study_id: int) -> list[StudyDirection]:
    """Return the directions, in the order of the objectives.

    Raises:
        KeyError: there is no such study.
    """
    table = schema.study_directions
    query = select(table.c.direction).where(table.c.study_id == study_id).order_by(table.c.objective)
    found = list(connection.execute(query).scalars())
    if not found:
        require(connection, study_id)
    return found


def attributes(connection: Connection, table: Table, study_id: int) -> dict[str, Any]:
    """Return the study's user or system attributes.

    Raises:
        KeyError: there is no such study.
    """
    rows = connection.execute(select(table.c.key, table.c.value_json).where(table.c.study_id == study_id)).all()
    if not rows:
        require(connection, study_id)
    return {key: json.loads(text) for key, text in rows}


def everything(connection: Connection) -> list[FrozenStudy]:
    """Return all studies, sorted by id."""
    aims: dict[int, list[StudyDirection]] = defaultdict(list)
    table = schema.study_directions
    for study_id, direction in connection.execute(
        select(table.c.study_id, table.c.direction).order_by(table.c.study_id, table.c.objective)
    ):
        aims[study_id].append(direction)
    attrs: list[dict[int, dict[str, Any]]] = []
    for kind in (schema.study_user_attributes, schema.study_system_attributes):
        found: dict[int, dict[str, Any]] = defaultdict(dict)
        for study_id, key, text in connection.execute(select(kind.c.study_id, kind.c.key, kind.c.value_json)):
            found[study_id][key] = json.loads(text)
        attrs.append(found)
    query = select(_studies.c.study_id, _studies.c.study_name).order_by(_studies.c.study_id)
    return [
        FrozenStudy(
            study_name=name,
            direction=None,
            directions=aims[study_id],
            user_attrs=attrs[0][study_id],
            system_attrs=attrs[1][study_id],
            study_id=study_id,
        )
        for study_id, name in connection.execute(query)
    ]


def has_our_tables(connection: Connection) -> bool:
    """Return whether our tables stand beside Optuna's."""
    return inspect(connection).has_table(schema.tuner_version.name)


def set_ours(connection: Connection, study_id: int, column: str, value: Any) -> None:
    """Set the study's budget or stop flag.

    Raises:
        KeyError: there is no such study.
    """
    require(connection, study_id)
    target = Target(table=schema.tuner_studies, keys=("study_id",), columns=("study_id", column))
    bulk.write(connection, [(target, [(study_id, value)])])


def folder(connection: Connection, study_id: int) -> str:
    """Return the random name of the study's files, made at first.

    Raises:
        KeyError: there is no such study.
    """
    lock_study(connection, study_id)
    name = get_ours(connection, study_id, "folder")
    if name is None:
        name = uuid.uuid4().hex[:12]
        set_ours(connection, study_id, "folder", name)
    return str(name)


def get_ours(connection: Connection, study_id: int, column: str) -> Any:
    """Return the study's budget or stop flag, None where nobody set it."""
    table = schema.tuner_studies
    return connection.execute(select(table.c[column]).where(table.c.study_id == study_id)).scalar()


def add_worker(database: Database, connection: Connection, study_id: int, name: str) -> int:
    """Register this process as a worker of the study and return its id.

    Raises:
        KeyError: there is no such study.
    """
    require(connection, study_id)
    now = seconds_now(database, connection)
    row = {
        "study_id": study_id,
        "name": name,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "machine": machine.here(),
        "started": now,
        "last_seen": now,
    }
    inserted = connection.execute(insert(schema.tuner_workers).values(**row)).inserted_primary_key
    assert inserted is not None
    return int(inserted[0])


def touch_worker(database: Database, connection: Connection, worker_id: int) -> None:
    """Note that the worker is alive."""
    table = schema.tuner_workers
    connection.execute(update(table).where(table.c.worker_id == worker_id).values(last_seen=database.now()))


def remove_worker(database: Database, connection: Connection, worker_id: int) -> list[int]:
    """Note that the worker has left, and return the trials it still held."""
    workers, leases = schema.tuner_workers, schema.tuner_leases
    connection.execute(update(workers).where(workers.c.worker_id == worker_id).values(departed=database.now()))
    query = select(leases.c.trial_id).where(leases.c.worker_id == worker_id, leases.c.expires.is_not(None))
    return list(connection.execute(query.order_by(leases.c.trial_id).with_for_update()).scalars())


def living_workers(database: Database, connection: Connection, study_id: int, silence: float) -> list[WorkerRecord]:
    """Return the workers that were heard of within ``silence`` seconds, or hold a lease."""
    w, leases = schema.tuner_workers, schema.tuner_leases
    now = seconds_now(database, connection)
    holds = func.count(leases.c.trial_id)
    query = (
        select(w.c.worker_id, w.c.name, w.c.host, w.c.pid, w.c.machine, w.c.started, w.c.last_seen, holds)
        .join_from(w, leases, and_(leases.c.worker_id == w.c.worker_id, leases.c.expires > now), isouter=True)
        .where(w.c.study_id == study_id, w.c.departed.is_(None))
        .group_by(w.c.worker_id, w.c.name, w.c.host, w.c.pid, w.c.machine, w.c.started, w.c.last_seen)
        .having(or_(w.c.last_seen > now - silence, holds > 0))
        .order_by(w.c.worker_id)
    )
    return [
        WorkerRecord(
            worker_id=row[0],
            name=row[1],
            host=row[2],
            pid=row[3],
            machine=row[4],
            started=row[5],
            last_seen=row[6],
            trials=row[7],
        )
        for row in connection.execute(query)
    ]
