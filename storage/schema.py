"""The tables: Optuna's own, word for word, and ours beside them.

Optuna's models are mirrored as plain Core tables so that a reading command needs neither the ORM nor
alembic; a test compares both, on every dialect.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.mysql import DATETIME as MICROSECONDS

if TYPE_CHECKING:
    from sqlalchemy import Connection

OPTUNA_SCHEMA = 12  # optuna.storages._rdb.models.SCHEMA_VERSION
OPTUNA_REVISION = "v3.2.0.a"  # the head of Optuna 5's alembic revisions
OLDER_REVISIONS = (
    "v0.9.0.a",
    "v1.2.0.a",
    "v1.3.0.a",
    "v2.4.0.a",
    "v2.6.0.a",
    "v3.0.0.a",
    "v3.0.0.b",
    "v3.0.0.c",
    "v3.0.0.d",
)
OUR_SCHEMA = 3  # raised when a tuner_ table changes; migration.py knows how the older ones become it

_KEY = 512
_DOUBLE = 53
# MySQL's DATETIME keeps whole seconds only; Optuna reads and writes the finer type as well.
_MOMENT = DateTime().with_variant(MICROSECONDS(fsp=6), "mysql", "mariadb")


class ValueType(enum.Enum):
    """How a value that no float column can hold is stored."""

    FINITE = 1
    INF_POS = 2
    INF_NEG = 3


class ReportType(enum.Enum):
    """The same for reports, which may be NaN."""

    FINITE = 1
    INF_POS = 2
    INF_NEG = 3
    NAN = 4


optuna_tables = MetaData()

studies = Table(
    "studies",
    optuna_tables,
    Column("study_id", Integer, primary_key=True),
    Column("study_name", String(_KEY), index=True, unique=True, nullable=False),
)
study_directions = Table(
    "study_directions",
    optuna_tables,
    Column("study_direction_id", Integer, primary_key=True),
    Column("direction", Enum(StudyDirection), nullable=False),
    Column("study_id", Integer, ForeignKey("studies.study_id"), nullable=False),
    Column("objective", Integer, nullable=False),
    UniqueConstraint("study_id", "objective"),
)


def _attributes(name: str, id_column: str, owner: str, owner_id: str) -> Table:
    return Table(
        name,
        optuna_tables,
        Column(id_column, Integer, primary_key=True),
        Column(owner_id, Integer, ForeignKey(f"{owner}.{owner_id}")),
        Column("key", String(_KEY)),
        Column("value_json", Text()),
        UniqueConstraint(owner_id, "key"),
    )


study_user_attributes = _attributes("study_user_attributes", "study_user_attribute_id", "studies", "study_id")
study_system_attributes = _attributes("study_system_attributes", "study_system_attribute_id", "studies", "study_id")
trials = Table(
    "trials",
    optuna_tables,
    Column("trial_id", Integer, primary_key=True),
    Column("number", Integer),
    Column("study_id", Integer, ForeignKey("studies.study_id"), index=True),
    Column("state", Enum(TrialState), nullable=False),
    Column("datetime_start", _MOMENT),  # naive UTC
    Column("datetime_complete", _MOMENT),  # naive UTC
)
trial_user_attributes = _attributes("trial_user_attributes", "trial_user_attribute_id", "trials", "trial_id")
trial_system_attributes = _attributes("trial_system_attributes", "trial_system_attribute_id", "trials", "trial_id")
trial_params = Table(
    "trial_params",
    optuna_tables,
    Column("param_id", Integer, primary_key=True),
    Column("trial_id", Integer, ForeignKey("trials.trial_id")),
    Column("param_name", String(_KEY)),
    Column("param_value", Float(precision=_DOUBLE)),
    Column("distribution_json", Text()),
    UniqueConstraint("trial_id", "param_name"),
)
trial_values = Table(
    "trial_values",
    optuna_tables,
    Column("trial_value_id", Integer, primary_key=True),
    Column("trial_id", Integer, ForeignKey("trials.trial_id"), nullable=False),
    Column("objective", Integer, nullable=False),
    Column("value", Float(precision=_DOUBLE), nullable=True),
    Column("value_type", Enum(ValueType, name="trialvaluetype"), nullable=False),
    UniqueConstraint("trial_id", "objective"),
)
trial_intermediate_values = Table(
    "trial_intermediate_values",
    optuna_tables,
    Column("trial_intermediate_value_id", Integer, primary_key=True),
    Column("trial_id", Integer, ForeignKey("trials.trial_id"), nullable=False),
    Column("step", Integer, nullable=False),
    Column("intermediate_value", Float(precision=_DOUBLE), nullable=True),
    Column("intermediate_value_type", Enum(ReportType, name="trialintermediatevaluetype"), nullable=False),
    UniqueConstraint("trial_id", "step"),
)
trial_heartbeats = Table(
    "trial_heartbeats",
    optuna_tables,
    Column("trial_heartbeat_id", Integer, primary_key=True),
    Column("trial_id", Integer, ForeignKey("trials.trial_id"), nullable=False),
    Column("heartbeat", DateTime, nullable=False, default=func.current_timestamp()),
    UniqueConstraint("trial_id"),
)
version_info = Table(
    "version_info",
    optuna_tables,
    Column("version_info_id", Integer, primary_key=True, autoincrement=False, default=1),
    Column("schema_version", Integer),
    Column("library_version", String(256)),
    CheckConstraint("version_info_id=1"),
)
alembic_version = Table(
    "alembic_version",
    MetaData(),  # alembic makes it, not Optuna's models
    Column("version_num", String(32), nullable=False, primary_key=True),
)

TRIAL_DETAILS = (
    trial_user_attributes,
    trial_system_attributes,
    trial_params,
    trial_values,
    trial_intermediate_values,
    trial_heartbeats,
)
STUDY_DETAILS = (study_directions, study_user_attributes, study_system_attributes)

our_tables = MetaData()


def _of_trial(primary_key: bool = True) -> Column[int]:
    # The database itself removes our rows when plain Optuna deletes a study.
    column = ForeignKey(trials.c.trial_id, ondelete="CASCADE")
    return Column("trial_id", Integer, column, primary_key=primary_key, autoincrement=False, nullable=False)


def _of_study(primary_key: bool = False) -> Column[int]:
    column = ForeignKey(studies.c.study_id, ondelete="CASCADE")
    return Column("study_id", Integer, column, primary_key=primary_key, autoincrement=False, nullable=False)


tuner_version = Table("tuner_version", our_tables, Column("version", Integer, primary_key=True))
tuner_studies = Table(
    "tuner_studies",
    our_tables,
    _of_study(primary_key=True),
    Column("budget", Integer),  # trials in all; NULL = no end
    Column("stop_requested", Double),  # seconds since 1970; NULL = go on
    Column("folder", String(32)),  # random name for the study's files: neither ids nor names are unique there
)
tuner_workers = Table(
    "tuner_workers",
    our_tables,
    Column("worker_id", Integer, primary_key=True),
    _of_study(),
    Column("name", String(_KEY), nullable=False),
    Column("host", String(_KEY), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Column("departed", Double),  # NULL = has not said goodbye
    Column("machine", String(_KEY)),  # where its process number means something, see machine.here()
    Index("ix_tuner_workers_study_id", "study_id"),
)
tuner_leases = Table(
    "tuner_leases",
    our_tables,
    _of_trial(),
    _of_study(),
    Column("worker_id", Integer),
    Column("token", BigInteger),  # NULL = nobody holds it
    Column("attempt", Integer, nullable=False),  # how many times the trial was begun or continued
    Column("expires", Double),  # seconds since 1970; NULL = not held (released or finished)
    Column("losses", Integer, nullable=False, server_default="0"),  # holders that died since its last checkpoint
    Column("lost_by", String(_KEY)),  # how the last of them died
    Column("vanished", Integer, nullable=False, server_default="0"),  # holders since then whose lease ran out
    Index("ix_tuner_leases_study_id_expires", "study_id", "expires"),
)
tuner_epochs = Table(
    "tuner_epochs",
    our_tables,
    _of_trial(),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("values_json", Text(), nullable=False),
)
tuner_checkpoints = Table(
    "tuner_checkpoints",
    our_tables,
    _of_trial(),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("uri", Text(), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
)
# ForeignKey(column) above crosses into Optuna's MetaData: ours are created after Optuna's exist.

OPEN_TRIALS_INDEX = "ix_tuner_trials_open"


def create_open_trials_index(connection: Connection) -> None:
    """Index the trials that are not finished, so that looking for waiting ones costs what waits."""
    if connection.dialect.name in {"mysql", "mariadb"}:
        columns, condition = "(study_id, state)", ""
    else:
        columns, condition = "(study_id, trial_id)", " WHERE state IN ('RUNNING', 'WAITING')"
    guard = "" if connection.dialect.name == "mysql" else "IF NOT EXISTS "
    connection.exec_driver_sql(f"CREATE INDEX {guard}{OPEN_TRIALS_INDEX} ON trials {columns}{condition}")


def create_sqlite_triggers(connection: Connection) -> None:
    """Stand in for ON DELETE CASCADE, which SQLite keeps off unless each connection asks for it.

    SQLite gives the ids of deleted rows to new ones: without this a new trial could inherit a lease.
    """
    for owner, key in (("trials", "trial_id"), ("studies", "study_id")):
        deletions = " ".join(
            f"DELETE FROM {table.name} WHERE {key} = OLD.{key};"  # noqa: S608 names are ours
            for table in our_tables.tables.values()
            if key in table.c
        )
        connection.exec_driver_sql(
            f"CREATE TRIGGER IF NOT EXISTS tuner_forget_{owner} AFTER DELETE ON {owner} BEGIN {deletions} END"
        )
