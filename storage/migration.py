"""Making the tables, and refusing the ones of another version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import optuna
from sqlalchemy import func, insert, inspect, literal_column, select, update

from storage import schema
from storage.errors import SchemaError, StorageNotFoundError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from storage.engine import Database

_UPGRADES = {
    1: (
        ("tuner_workers", "machine", "VARCHAR(512)"),
        ("tuner_leases", "losses", "INTEGER DEFAULT 0 NOT NULL"),
        ("tuner_leases", "lost_by", "VARCHAR(512)"),
    ),
    2: (("tuner_leases", "vanished", "INTEGER DEFAULT 0 NOT NULL"),),
}
"""The columns (table, name, type) that our tables of one version lack of those of the next."""

_LOCK = 0x74756E6572  # "tuner": the number of PostgreSQL's advisory lock


def check(database: Database) -> bool:
    """Refuse a schema of another version and return whether our own tables exist.

    Reads only, unless the database is empty and ``database.create`` allows to make the tables.

    Raises:
        SchemaError: older or newer than Optuna 5 or than this package.
        StorageNotFoundError: there are no tables, and they may not be made.
    """
    names = database.read(_table_names)
    if not {"studies", "trials", "version_info"} <= names:
        if not database.create:
            raise StorageNotFoundError(
                f"storage '{database.safe_url}' holds no studies; check the URL, or start a study to fill it"
            )
        create_all(database)
        return True
    if database.create and database.read(lambda c: c.execute(select(schema.version_info)).first()) is None:
        create_all(database)  # MySQL commits each table: others are at it, or were killed at it
        return True
    _check_optuna(database, names)
    if "tuner_version" not in names:
        return False
    _check_ours(database)
    return True


def create_all(database: Database) -> None:
    """Create what is missing of Optuna's tables and ours; any number of processes may do so at once."""

    def work(connection: Connection) -> None:
        _lock(connection)
        schema.optuna_tables.create_all(connection)
        schema.alembic_version.create(connection, checkfirst=True)
        schema.our_tables.create_all(connection)
        if connection.dialect.name == "sqlite":
            schema.create_sqlite_triggers(connection)
        indexes = {index["name"] for index in inspect(connection).get_indexes("trials")}
        if schema.OPEN_TRIALS_INDEX not in indexes:
            schema.create_open_trials_index(connection)
        for table, row in (
            (
                schema.version_info,
                {"schema_version": schema.OPTUNA_SCHEMA, "library_version": optuna.version.__version__},
            ),
            (schema.alembic_version, {"version_num": schema.OPTUNA_REVISION}),
            (schema.tuner_version, {"version": schema.OUR_SCHEMA}),
        ):
            if connection.execute(select(func.count()).select_from(table)).scalar_one() == 0:
                connection.execute(insert(table).values(**row))
        _unlock(connection)

    database.keep_history()
    database.write(work)


def _table_names(connection: Connection) -> set[str]:
    if connection.dialect.name == "sqlite":
        return set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars())
    return set(inspect(connection).get_table_names())


def _check_optuna(database: Database, names: set[str]) -> None:
    version, revision = schema.version_info, schema.alembic_version
    upgrade = f"optuna storage upgrade --storage '{database.safe_url}'"
    if "alembic_version" not in names:
        raise SchemaError(f"storage '{database.safe_url}' was made by a very old Optuna; run: {upgrade}")
    found = database.read(lambda c: c.execute(select(revision.c.version_num)).scalar())
    library = database.read(lambda c: c.execute(select(version.c.library_version)).scalar())
    if found == schema.OPTUNA_REVISION:
        return
    if found is None or found in schema.OLDER_REVISIONS:
        raise SchemaError(
            f"storage '{database.safe_url}' has the older tables {found} of Optuna {library}; run: {upgrade}"
        )
    raise SchemaError(
        f"storage '{database.safe_url}' has the newer tables {found} of Optuna {library}; "
        "run: pip install -U tuner optuna"
    )


def _check_ours(database: Database) -> None:
    version = database.read(lambda c: c.execute(select(schema.tuner_version.c.version)).scalar())
    if version is not None and version > schema.OUR_SCHEMA:
        raise SchemaError(
            f"storage '{database.safe_url}' was made by a newer tuner (tables {version}, known here: "
            f"{schema.OUR_SCHEMA}); run: pip install -U tuner"
        )
    if version is not None and version < schema.OUR_SCHEMA:
        database.write(_upgrade)


def _upgrade(connection: Connection) -> None:
    """Bring our tables to this version, whichever they are in; any number of processes may do so at once."""
    _lock(connection)
    table = schema.tuner_version
    version = int(connection.execute(select(table.c.version)).scalar_one())
    for older in range(version, schema.OUR_SCHEMA):
        for name, column, kind in _UPGRADES[older]:
            known = {one["name"] for one in inspect(connection).get_columns(name)}
            if column not in known:  # MySQL commits each of them: an upgrade that was killed goes on
                connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {column} {kind}")
        connection.execute(update(table).values(version=older + 1))
    _unlock(connection)


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(literal_column(str(_LOCK)))))
    elif connection.dialect.name in {"mysql", "mariadb"}:
        connection.execute(select(func.get_lock("tuner_schema", 30)))


def _unlock(connection: Connection) -> None:
    if connection.dialect.name in {"mysql", "mariadb"}:
        connection.execute(select(func.release_lock("tuner_schema")))
