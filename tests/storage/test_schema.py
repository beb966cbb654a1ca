"""Our mirror of Optuna's tables is Optuna's, and its databases are ours and ours its."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from sqlalchemy import Dialect, Table, create_engine
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable, DDLElement

import storage as st
from storage import schema, urls

DIALECTS: list[Dialect] = [module.dialect() for module in (sqlite, postgresql, mysql)]
THEIRS: dict[str, Table] = dict(models.BaseModel.metadata.tables)


def _ddl(table: Table, dialect: Dialect) -> tuple[str, ...]:
    statements: list[DDLElement] = [CreateTable(table)]
    statements += [CreateIndex(index) for index in sorted(table.indexes, key=lambda index: str(index.name))]
    return tuple(str(statement.compile(dialect=dialect)) for statement in statements)


@pytest.mark.parametrize("name", sorted(THEIRS))
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_tables_are_created_by_the_same_statements_as_optunas(name: str, dialect: Dialect) -> None:
    ours = tuple(text.replace("DATETIME(6)", "DATETIME") for text in _ddl(schema.optuna_tables.tables[name], dialect))
    assert ours == _ddl(THEIRS[name], dialect)


def test_no_table_of_optunas_is_missing() -> None:
    assert set(schema.optuna_tables.tables) == set(THEIRS)
    assert models.SCHEMA_VERSION == schema.OPTUNA_SCHEMA


def _optuna_url(url: str) -> str:
    return urls.parse(url).render_as_string(hide_password=False)


def test_optuna_accepts_a_database_made_here_as_its_own(empty_url: str) -> None:
    made = st.open_storage(empty_url)
    made.create_new_study([optuna.study.StudyDirection.MINIMIZE], "made-here")
    made.close()
    theirs = RDBStorage(_optuna_url(empty_url))
    assert theirs.get_current_version() == theirs.get_head_version()
    assert [study.study_name for study in theirs.get_all_studies()] == ["made-here"]
    study = optuna.load_study(study_name="made-here", storage=theirs)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    theirs.engine.dispose()
    ours = st.open_storage(empty_url)
    assert [t.state.name for t in ours.get_all_trials(ours.get_study_id_from_name("made-here"))] == ["COMPLETE"] * 2
    ours.close()


def test_a_database_that_plain_optuna_wrote_opens_here(empty_url: str) -> None:
    theirs = RDBStorage(_optuna_url(empty_url))
    study = optuna.create_study(storage=theirs, study_name="plain")
    study.optimize(_objective, n_trials=3)
    expected = study.trials
    theirs.engine.dispose()
    with_ours = st.open_storage(empty_url)
    study_id = with_ours.get_study_id_from_name("plain")
    assert with_ours.get_all_trials(study_id) == expected
    assert with_ours.get_budget(study_id) is None
    assert with_ours.list_workers(study_id) == []
    assert with_ours.epochs(expected[0]._trial_id) == []
    with_ours.set_budget(study_id, 5)
    assert [claim.number for claim in with_ours.claim(study_id, 9)] == [3, 4]
    with_ours.close()


def _objective(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", 1e-3, 1, log=True)
    trial.suggest_categorical("c", ["a", "b", None])
    trial.suggest_int("n", 1, 9, step=2)
    trial.report(float("inf"), 0)
    trial.report(float("-inf"), 1)
    trial.set_user_attr("note", {"a": [1, 2]})
    return x


def test_several_processes_make_the_tables_at_once(empty_url: str) -> None:
    program = "import sys, storage; storage.open_storage(sys.argv[1]).get_all_studies()"
    running = [subprocess.Popen([sys.executable, "-c", program, empty_url]) for _ in range(4)]
    assert [process.wait() for process in running] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("revision", "remedy"), [("v3.0.0.a", "optuna storage upgrade"), ("v9.9.9.z", "pip install -U tuner optuna")]
)
def test_another_schema_is_refused_with_the_command_that_helps(revision: str, remedy: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/other.db"
    st.open_storage(url).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(schema.alembic_version.update().values(version_num=revision))
    engine.dispose()
    with pytest.raises(st.SchemaError, match=remedy):
        st.open_storage(url)


def test_a_newer_tuners_tables_are_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/newer.db"
    st.open_storage(url).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(schema.tuner_version.update().values(version=schema.OUR_SCHEMA + 1))
    engine.dispose()
    with pytest.raises(st.SchemaError, match="pip install -U tuner"):
        st.open_storage(url)


def test_an_upgrade_that_was_killed_half_way_is_finished_by_the_next(empty_url: str) -> None:
    st.open_storage(empty_url).close()
    engine = create_engine(urls.parse(empty_url))
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE tuner_leases DROP COLUMN lost_by")
        connection.execute(schema.tuner_version.update().values(version=1))
    engine.dispose()
    opened = st.open_storage(empty_url, create=False)
    study_id = opened.create_new_study([optuna.study.StudyDirection.MINIMIZE], "old")
    assert [claim.lost_by for claim in opened.claim(study_id, 1)] == [""]
    opened.close()


def test_tables_of_the_first_version_are_brought_up_to_date_when_they_are_opened(empty_url: str) -> None:
    made = st.open_storage(empty_url)
    study_id = made.create_new_study([optuna.study.StudyDirection.MINIMIZE], "old")
    made.claim(study_id, 1)
    made.close()
    engine = create_engine(urls.parse(empty_url))
    with engine.begin() as connection:
        dropped = {"tuner_workers": ("machine",), "tuner_leases": ("losses", "lost_by", "vanished")}
        for table, column in ((table, column) for table, columns in dropped.items() for column in columns):
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.execute(schema.tuner_version.update().values(version=1))
    engine.dispose()
    opened = st.open_storage(empty_url, create=False)
    opened.register_worker(study_id, name="new")
    assert [claim.losses for claim in opened.claim(study_id, 1)] == [0]
    assert [worker.name for worker in opened.list_workers(study_id)] == ["new"]
    opened.close()
