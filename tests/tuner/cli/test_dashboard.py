"""optuna-dashboard on the studies of a storage, served by our command."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import optuna
import pytest

import storage as st
from tests.tuner.cli.conftest import Run

URL = "sqlite:///studies.db"


@pytest.fixture
def study_id() -> int:
    study = optuna.create_study(study_name="plain", storage=st.open_storage(URL))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    return study._study_id


@contextmanager
def served(*arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address that the command prints, and its process."""
    command = [sys.executable, "-m", "tuner", "dashboard", *arguments, "--port", "0", "--storage", URL]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


def answer(address: str) -> str:
    with urlopen(address, timeout=30) as got:
        return str(got.read().decode())


def test_a_study_is_served_until_ctrl_c(study_id: int) -> None:
    with served("plain") as (address, process):
        assert address.startswith("http://127.0.0.1:")
        assert address.endswith(f"/dashboard/studies/{study_id}")
        assert "<html" in answer(address)
        study = optuna.load_study(study_name="plain", storage=st.open_storage(URL))
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
        api = address.partition("/dashboard")[0] + f"/api/studies/{study_id}"
        assert len(json.loads(answer(api))["trials"]) == 4
        assert process.stderr is not None
        assert process.stderr.readline() == "Ctrl-C ends it\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == ("", "")
        assert process.returncode == 130


def status(request: Request) -> tuple[int, str]:
    try:
        with urlopen(request, timeout=30) as got:
            return got.status, got.read().decode()
    except HTTPError as error:
        return error.code, json.loads(error.read())["reason"]


def test_what_would_ruin_a_study_is_refused(study_id: int) -> None:
    storage = st.open_storage(URL)
    worker = storage.register_worker(study_id, name="worker")
    with served("plain") as (address, _):
        api = address.partition("/dashboard")[0] + f"/api/studies/{study_id}"
        body = json.dumps({"study_name": "other"}).encode()
        rename = Request(f"{api}/rename", data=body, headers={"Content-Type": "application/json"}, method="POST")
        assert status(rename) == (403, "tuner knows a study by its name: it cannot be renamed")
        delete = Request(api, method="DELETE")
        assert status(delete) == (409, "workers are at work on this study: `tuner stop` lets them leave")
        foreign = Request(api, method="DELETE", headers={"Host": "evil.example"})
        assert status(foreign) == (403, "this is not served as evil.example")
        assert [study.study_name for study in storage.get_all_studies()] == ["plain"]
        storage.unregister_worker(worker)
        assert status(delete)[0] == 204
    assert st.open_storage(URL).get_all_studies() == []


def test_it_is_served_at_an_address_of_the_newer_kind(study_id: int) -> None:
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with served("--host", "::1") as (address, _):
        assert address.startswith("http://[::1]:")
        assert "<html" in answer(address)


def test_who_may_come_from_elsewhere_is_warned_of(study_id: int) -> None:
    with served("--host", "0.0.0.0") as (address, process):
        assert address.endswith("/dashboard/")
        assert process.stderr is not None
        assert "no password protects it" in process.stderr.readline()
        assert process.stderr.readline() == "Ctrl-C ends it\n"
        answer(address)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 143


def test_what_cannot_be_served_is_one_line(run: Run, study_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("dashboard", "--port", str(taken.getsockname()[1]), "--storage", URL)
    assert done.exit_code == 2
    assert "something else is served there" in done.stderr
    assert run("dashboard", "unknown", "--storage", URL).exit_code == 3
    assert run("dashboard", "--host", "no.such.host.invalid", "--storage", URL).exit_code == 2
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    done = run("dashboard", "--storage", URL)
    assert (done.exit_code, "pip install optuna-dashboard" in done.stderr) == (2, True)
