"""Nothing that was recorded is lost on its way to the database, and what it will never take is told."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from optuna.exceptions import DuplicatedStudyError
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from sqlalchemy import create_engine, make_url

import storage as st
from storage import limits, urls
from storage.writer import Writer
from tests.storage import databases

Open = Callable[[], st.SQLStorage]
SERVERS = pytest.mark.parametrize("url", ["postgresql", "mysql"], indirect=True)


@pytest.fixture
def no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at what is set before the database does."""
    for check in ("check_name", "check_text"):
        monkeypatch.setattr(limits, check, lambda *_: None)
    monkeypatch.setattr(limits, "whole_step", lambda _, step: step)


def claimed(storage: st.SQLStorage, count: int) -> list[int]:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    return [claim.trial_id for claim in storage.claim(study_id, count)]


@pytest.mark.usefixtures("no_limits")
def test_what_the_database_refuses_of_one_trial_sinks_no_other(worker: Open) -> None:
    storage = worker()
    trial_ids = claimed(storage, 3)
    with pytest.raises(st.StorageError), storage.batch():
        for place, trial_id in enumerate(trial_ids):
            storage.set_trial_intermediate_value(trial_id, 0, 1.0)
            step: Any = None if place == 1 else 1
            storage.set_trial_intermediate_value(trial_id, step, 1.0)
    kept = [worker().get_trial(trial_id).intermediate_values for trial_id in trial_ids]
    assert (kept[0], kept[2]) == ({0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0})


@pytest.mark.usefixtures("no_limits")
def test_a_trial_of_which_something_was_refused_hears_of_it_once_and_can_still_be_told_to_have_failed(
    worker: Open,
) -> None:
    storage = worker()
    harmed, other = claimed(storage, 2)
    step: Any = None
    storage.set_trial_intermediate_value(harmed, step, 1.0)
    storage.write_behind()
    storage.set_trial_state_values(other, TrialState.COMPLETE, [1.0])
    with pytest.raises(st.StorageError):
        storage.set_trial_param(harmed, "x", 0.5, FloatDistribution(0, 1))
    storage.set_trial_intermediate_value(harmed, step, 1.0)
    with pytest.raises(st.StorageError):
        storage.set_trial_state_values(harmed, TrialState.COMPLETE, [2.0])
    assert storage.get_trial(harmed).state is TrialState.RUNNING
    storage.set_trial_state_values(harmed, TrialState.FAIL)
    seen = worker()
    assert seen.get_trial(harmed).state is TrialState.FAIL
    assert seen.get_trial(other).values == [1.0]


@SERVERS
def test_what_does_not_fit_is_refused_when_it_is_set_and_costs_nothing_else(worker: Open) -> None:
    storage = worker()
    (trial_id,) = claimed(storage, 1)
    storage.set_trial_user_attr(trial_id, "k" * 512, 1)
    with pytest.raises(st.StorageError, match="kkk…' of a trial's attribute is too long: 513 characters, and 512 fit"):
        storage.set_trial_user_attr(trial_id, "k" * 513, 2)
    with pytest.raises(st.StorageError, match="of a parameter is too long"):
        storage.set_trial_param(trial_id, "k" * 513, 0.5, FloatDistribution(0, 1))
    with pytest.raises(st.StorageError, match="step 2147483648 of a report"):
        storage.set_trial_intermediate_value(trial_id, 2**31, 1.0)
    large = [0] * 30_000
    if storage.database.dialect == "mysql":
        with pytest.raises(st.StorageError, match="'matrix' is too large: 90,000 bytes, and 65,535 fit in MySQL"):
            storage.set_trial_user_attr(trial_id, "matrix", large)
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    assert worker().get_trial(trial_id).user_attrs == {"k" * 512: 1}


def test_half_of_a_character_is_no_name(worker: Open) -> None:
    storage = worker()
    (trial_id,) = claimed(storage, 1)
    with pytest.raises(st.StorageError, match=r"the name '\\udc80' of a trial's attribute is no text"):
        storage.set_trial_user_attr(trial_id, "\udc80", 1)


def test_attributes_are_at_once_what_they_will_be_when_they_are_read_again(worker: Open) -> None:
    storage = worker()
    (trial_id,) = claimed(storage, 1)
    growing = [1]
    storage.set_trial_user_attr(trial_id, "list", growing)
    growing.append(2)
    storage.set_trial_user_attr(trial_id, "mapping", {1: (1, 2)})
    expected = {"list": [1], "mapping": {"1": [1, 2]}}
    assert storage.get_trial(trial_id).user_attrs == expected
    storage.flush()
    assert worker().get_trial(trial_id).user_attrs == expected


@pytest.mark.parametrize("place", ["prepare", "settle"])
def test_ctrl_c_in_a_write_takes_nothing_along(worker: Open, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    storage = worker()
    (trial_id,) = claimed(storage, 1)
    storage.set_trial_user_attr(trial_id, "a", 1)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(storage, place, interrupted)
        with pytest.raises(KeyboardInterrupt):
            storage.flush()
    storage.flush()
    assert worker().get_trial(trial_id).user_attrs == {"a": 1}


@SERVERS
def test_a_connection_that_was_cut_is_opened_anew_and_nothing_is_lost(worker: Open, url: str) -> None:
    storage = worker()
    (trial_id,) = claimed(storage, 1)

    def cut() -> None:
        with storage.database.alone():
            connection = storage.database._connect()
            mysql = storage.database.dialect == "mysql"
            own = "SELECT CONNECTION_ID()" if mysql else "SELECT pg_backend_pid()"
            number = int(connection.exec_driver_sql(own).scalar_one())
        engine = create_engine(urls.parse(url), isolation_level="AUTOCOMMIT")
        with engine.connect() as other:
            other.exec_driver_sql(f"KILL {number}" if mysql else f"SELECT pg_terminate_backend({number})")
        engine.dispose()

    cut()
    storage.set_trial_intermediate_value(trial_id, 0, 1.0)
    storage.write_behind()
    cut()
    storage.set_trial_intermediate_value(trial_id, 1, 2.0)
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [3.0])
    seen = worker().get_trial(trial_id)
    assert (seen.intermediate_values, seen.values) == ({0: 1.0, 1: 2.0}, [3.0])


@pytest.mark.parametrize("told", [False, True])
def test_what_a_server_forgets_when_it_crashes_is_written_again(told: bool) -> None:
    with databases.own_postgresql() as server:
        engine = create_engine(urls.parse(server.url), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("ALTER SYSTEM SET wal_writer_delay = '10s'")  # so much may be forgotten
            connection.exec_driver_sql("SELECT pg_reload_conf()")
        engine.dispose()
        storage = st.open_storage(server.url)
        (trial_id,) = claimed(storage, 1)
        storage.set_trial_user_attr(trial_id, "a", 1)
        storage.flush()  # with the claim
        for step in range(5):
            storage.set_trial_intermediate_value(trial_id, step, float(step))
            storage.record_epoch(trial_id, step, {"loss": 1.0})
            storage.write_behind()
        server.crash()
        forgotten = st.open_storage(server.url)
        assert len(forgotten.get_trial(trial_id).intermediate_values) < 5
        forgotten.close()
        storage.set_trial_intermediate_value(trial_id, 5, 5.0)
        if told:
            storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
        else:
            storage.flush()
        seen = st.open_storage(server.url)
        assert seen.get_trial(trial_id).intermediate_values == {step: float(step) for step in range(6)}
        assert [epoch for epoch, _ in seen.epochs(trial_id)] == list(range(5))
        seen.close()
        storage.close()


def test_what_is_being_written_when_the_process_ends_is_waited_for(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/trials.db"
    storage = st.open_storage(url)
    storage.create_new_study([StudyDirection.MINIMIZE])
    storage.close()
    script = """
        import sys, time
        import storage as st
        storage = st.open_storage(sys.argv[1])
        (claim,) = storage.claim(1, 1)
        storage.flush()
        print("claimed", flush=True)
        sys.stdin.readline()
        storage.set_trial_intermediate_value(claim.trial_id, 0, 1.0)
        time.sleep(1.0)  # the thread behind has taken it, and waits for the lock
    """
    command = [sys.executable, "-c", textwrap.dedent(script), url]
    with (
        closing(sqlite3.connect(tmp_path / "trials.db", isolation_level=None)) as other,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        other.execute("BEGIN IMMEDIATE")
        print("go", file=process.stdin, flush=True)
        time.sleep(2.5)
        other.execute("ROLLBACK")
        assert process.wait(20) == 0
    (trial,) = st.open_storage(url).get_all_trials(1)
    assert trial.intermediate_values == {0: 1.0}


@SERVERS
def test_a_child_that_forgets_the_connection_leaves_it_to_the_parent(worker: Open) -> None:
    storage = worker()
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    made = storage.database.connections
    child = os.fork()
    if child == 0:
        os._exit(0 if storage.get_n_trials(study_id) == 0 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert storage.get_n_trials(study_id) == 0
    assert storage.database.connections == made


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_looking_for_waiting_trials_reads_those_that_are_open_alone(worker: Open, url: str) -> None:
    storage = worker()
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    asked: list[str] = []
    with storage.database.alone():
        storage.database._connect().connection.driver_connection.set_trace_callback(asked.append)  # type: ignore[union-attr]
    storage.claim(study_id, 1)
    storage.unfinished(study_id)
    queries = [query for query in asked if "'WAITING'" in query and "trials.study_id = " in query]
    assert any("count(*)" in query for query in queries)
    assert any("count(*)" not in query for query in queries)
    with closing(sqlite3.connect(make_url(url).database or "")) as file:
        plans = [json.dumps(file.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()) for query in queries]
    assert all("ix_tuner_trials_open" in plan for plan in plans), plans


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_of_two_studies_of_one_name_created_at_once_one_is_refused_as_such(worker: Open, url: str) -> None:
    storage = worker()
    engine = create_engine(urls.parse(url))
    found: list[BaseException] = []

    def create() -> None:
        try:
            storage.create_new_study([StudyDirection.MINIMIZE], "same")
        except DuplicatedStudyError as error:
            found.append(error)

    with engine.connect() as other:
        other.exec_driver_sql("INSERT INTO studies (study_name) VALUES ('same')")
        thread = threading.Thread(target=create)
        thread.start()
        time.sleep(0.5)
        other.commit()
        thread.join()
    engine.dispose()
    assert [str(error) for error in found] == ["there is a study 'same' already; choose another name, or resume it"]


def test_what_no_lease_guards_is_not_written_again(worker: Open) -> None:
    storage = worker()
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    optuna_s = storage.create_new_trial(study_id, create_trial(state=TrialState.WAITING))
    with storage.batch():
        storage.set_trial_user_attr(optuna_s, "a", 1)
        storage.study_checkpoints(study_id)  # writes what is pending, without waiting for the disk
        assert not storage._writer.not_yet_on_disk


def test_a_writer_is_idle_once_all_is_written(worker: Open) -> None:
    storage = worker()
    (trial_id,) = claimed(storage, 1)
    storage.set_trial_intermediate_value(trial_id, 0, 1.0)
    assert isinstance(storage._writer, Writer)
    assert storage.unwritten()
    storage.flush()
    assert not storage.unwritten()
