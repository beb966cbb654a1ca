"""What goes wrong is waited for where waiting helps, and told in one line where it does not."""

from __future__ import annotations

import logging
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy import Connection, event, make_url

import storage as st
from storage import engine, leases
from tests.storage import databases


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[st.SQLStorage]:
    storage = st.open_storage(f"sqlite:///{tmp_path}/trials.db", patience=0.3)
    yield storage
    storage.close()


def test_a_short_outage_of_the_server_is_waited_for_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with databases.own_postgresql() as server:
        storage = st.open_storage(server.url)
        study_id = storage.create_new_study([StudyDirection.MINIMIZE])
        (claim,) = storage.claim(study_id, 1)
        server.stop()
        storage.set_trial_intermediate_value(claim.trial_id, 0, 1.0)
        back = threading.Timer(2.0, server.start)
        back.start()
        with caplog.at_level(logging.WARNING, "storage"):
            storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [1.0])
        back.join()
        said = [record.getMessage() for record in caplog.records if record.name == "storage.engine"]
        assert len([line for line in said if line.startswith("waiting for postgresql://")]) in {1, 2}  # two threads
        told = storage.get_trial(claim.trial_id)
        storage.close()
        seen = st.open_storage(server.url)
        assert seen.get_trial(claim.trial_id).values == told.values == [1.0]
        seen.close()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_process_that_stands_still_in_a_transaction_holds_nobody_up(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_IDLE_IN_TRANSACTION", 500)
    stopped, other = st.open_storage(url), st.open_storage(url)
    study_id = other.create_new_study([StudyDirection.MINIMIZE])
    locked, tries = threading.Event(), []

    def stand_still(connection: Connection) -> None:
        tries.append(1)
        leases.lock_study(connection, study_id)
        locked.set()
        if len(tries) == 1:
            time.sleep(2.0)

    thread = threading.Thread(target=stopped.database.write, args=(stand_still,))
    thread.start()
    locked.wait()
    began = time.monotonic()
    assert [claim.number for claim in other.claim(study_id, 1)] == [0]
    assert time.monotonic() - began < 1.8
    thread.join()
    assert len(tries) == 2
    stopped.close()
    other.close()


def test_a_long_outage_is_an_error_without_the_password() -> None:
    with pytest.raises(st.StorageUnreachableError) as caught:
        st.open_storage("postgresql://me:secret@127.0.0.1:1/nowhere", patience=0.2)
    assert "postgresql://me:***@127.0.0.1:1/nowhere" in str(caught.value)
    assert "does not answer" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_password_or_database_is_not_waited_for(postgresql_server: str) -> None:
    with pytest.raises(st.StorageUnreachableError, match="refuses this user, password or database name"):
        st.open_storage(make_url(postgresql_server).set(database="nosuch").render_as_string(hide_password=False))


def test_writers_wait_for_one_another_and_never_say_locked(lite: st.SQLStorage, tmp_path: Path) -> None:
    study_id = lite.create_new_study([StudyDirection.MINIMIZE])
    other = sqlite3.connect(tmp_path / "trials.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(st.StorageUnreachableError, match="other workers are writing") as caught:
        lite.claim(study_id, 1)
    assert "locked" not in str(caught.value)
    assert lite.get_n_trials(study_id) == 0  # readers never wait
    other.execute("COMMIT")
    other.close()
    assert len(lite.claim(study_id, 1)) == 1


def test_a_full_disk_loses_nothing_that_fits_later(lite: st.SQLStorage) -> None:
    study_id = lite.create_new_study([StudyDirection.MINIMIZE])
    (claim,) = lite.claim(study_id, 1)
    pages = lite.database.read(lambda c: int(c.exec_driver_sql("PRAGMA page_count").scalar_one()))
    lite.database.read(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count = {pages}").close())
    with lite.batch():
        lite.set_trial_intermediate_value(claim.trial_id, 0, 1.0)
    with pytest.raises(st.StorageFullError, match="the disk is full"):
        lite.set_trial_user_attr(claim.trial_id, "big", "x" * 100_000)
        lite.flush()
    lite.database.read(lambda c: c.exec_driver_sql("PRAGMA max_page_count = 1000000").close())
    lite.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [0.5])
    seen = st.open_storage(lite.safe_url)
    assert len(seen.get_trial(claim.trial_id).user_attrs["big"]) == 100_000
    seen.close()


@pytest.mark.parametrize("content", [b"this is no database, not at all, whatever it may be called" * 20, None])
def test_a_damaged_file_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "trials.db"
    if content is None:
        st.open_storage(f"sqlite:///{path}").close()
        content = path.read_bytes()[:100] + b"\xff" * 4000 + path.read_bytes()[4100:]
    path.write_bytes(content)
    with pytest.raises(st.CorruptStorageError, match=r"trials\.db' is damaged or not a database"):
        st.open_storage(f"sqlite:///{path}")
    assert path.read_bytes() == content


def test_a_missing_file_or_folder_is_named_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(st.StorageNotFoundError, match="there is no file"):
        st.open_storage(f"sqlite:///{tmp_path}/none.db", create=False)
    with pytest.raises(st.StorageNotFoundError, match="there is no folder"):
        st.open_storage(f"sqlite:///{tmp_path}/none/trials.db")
    (tmp_path / "empty.db").write_bytes(b"")
    with pytest.raises(st.StorageNotFoundError, match="holds no studies"):
        st.open_storage(f"sqlite:///{tmp_path}/empty.db", create=False)
    assert list(tmp_path.iterdir()) == [tmp_path / "empty.db"]


@pytest.fixture
def ordinary_user() -> Iterator[Path]:
    """A folder of an ordinary user, who is who runs the test: root may write anywhere."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        if os.geteuid() != 0:
            yield folder
            folder.chmod(0o755)
            return
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(0)
            folder.chmod(0o755)


@pytest.mark.parametrize("whole_folder", [False, True])
def test_a_read_only_storage_is_read_and_never_written(ordinary_user: Path, whole_folder: bool) -> None:
    url = f"sqlite:///{ordinary_user}/trials.db"
    writer = st.open_storage(url)
    study_id = writer.create_new_study([StudyDirection.MINIMIZE], "s")
    (claim,) = writer.claim(study_id, 1)
    writer.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [1.0])
    writer.close()
    (ordinary_user / "trials.db").chmod(0o444)
    if whole_folder:
        ordinary_user.chmod(0o555)
    before = sorted(ordinary_user.iterdir())
    reader = st.open_storage(url, create=False)
    assert reader.get_best_trial(study_id).value == 1.0
    assert reader.get_budget(study_id) is None
    assert reader.list_workers(study_id) == []
    with pytest.raises(st.ReadOnlyStorageError, match="cannot be written"):
        reader.create_new_study([StudyDirection.MINIMIZE])
    reader.close()
    assert sorted(ordinary_user.iterdir()) == before


def test_opening_to_read_writes_nothing_into_a_database_of_plain_optuna(tmp_path: Path) -> None:
    path = tmp_path / "plain.db"
    study = optuna.create_study(storage=f"sqlite:///{path}", study_name="plain")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    content = path.read_bytes()
    reader = st.open_storage(f"sqlite:///{path}", create=False)
    study_id = reader.get_study_id_from_name("plain")
    assert reader.get_best_trial(study_id) == study.best_trial
    assert (reader.get_budget(study_id), reader.open_trials(study_id), reader.stop_requested(study_id)) == (
        None,
        0,
        False,
    )
    assert len(reader.get_all_trials(study_id)) == 2
    reader.close()
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("oracle://u:secret@h/db", "unknown database 'oracle'"),
        ("trials.db", "is not a URL"),
        ("postgresql+psycopg://u:secret@h:port/db", "is not a URL"),
    ],
)
def test_an_unusable_url_is_refused_without_its_password(url: str, message: str) -> None:
    with pytest.raises(st.StorageUrlError, match=message) as caught:
        st.open_storage(url)
    assert "secret" not in str(caught.value)


def test_ctrl_c_in_a_statement_leaves_a_connection_that_works(storage: st.SQLStorage) -> None:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "kept")
    engine = storage.database._connect().engine

    def interrupt(*_: object) -> None:
        event.remove(engine, "do_execute", interrupt)
        raise KeyboardInterrupt

    event.listen(engine, "do_execute", interrupt)
    with pytest.raises(KeyboardInterrupt):
        storage.get_all_studies()
    assert [study.study_name for study in storage.get_all_studies()] == ["kept"]
    assert [claim.number for claim in storage.claim(study_id, 1)] == [0]


@pytest.mark.parametrize(("url", "package"), [("postgresql://h/db", r"psycopg\[binary\]"), ("mysql://h/db", "PyMySQL")])
def test_a_missing_driver_names_what_to_install(url: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.urls.importlib.util.find_spec", lambda _: None)
    with pytest.raises(st.StorageUrlError, match=f"pip install '{package}'"):
        st.open_storage(url)


def test_passwords_are_masked_wherever_they_stand() -> None:
    from storage.urls import mask

    assert mask("postgresql://me:p@ss:w@host/db") == "postgresql://me:***@host/db"
    assert mask("connecting to mysql://u:secret@h/d failed") == "connecting to mysql://u:***@h/d failed"
    assert mask("postgresql://h/db?user=u&password=secret&x=1") == "postgresql://h/db?user=u&password=***&x=1"
    assert mask("sqlite:///a:b@c.db") == "sqlite:///a:b@c.db"
