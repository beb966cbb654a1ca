from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from tests.tuner.cli import samples
from tests.tuner.cli.conftest import Run
from tuner.cli.failures import Terminated, exit_code_of, message_of
from tuner.errors import ObjectiveError


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["best", "nope"], 3, "Error: there is no study 'nope' in sqlite:///tuner.db; there are: churn, new"),
        (["best", "chrun"], 3, "Error: there is no study 'chrun' in sqlite:///tuner.db; did you mean 'churn'?"),
        (["best", "new"], 4, "Error: study 'new' has no finished trial yet; `tuner status` tells how it stands"),
        (["show", "churn", "99"], 2, "Error: study 'churn' has no trial 99"),
        (["show", "churn", "x"], 2, "Error: invalid value for 'TRIAL': 'x' is not a valid integer"),
        (["trials", "churn", "--sort", "depht"], 2, "Error: cannot sort by 'depht'; known: "),
        (["trials", "churn", "--state", "won"], 2, "Error: invalid value for '--state': 'won' is not one of "),
        (["trials", "churn", "--limit", "0"], 2, "Error: invalid value for '--limit': 0 is not in the range x>=1"),
        (["trials", "churn", "-o", "xml"], 2, "Error: invalid value for '-o' / '--output': 'xml' is not one of "),
        (["trials"], 2, "Error: missing argument 'STUDY'; see `tuner trials --help`"),
        (["trails", "churn"], 2, "Error: no such command 'trails'; did you mean 'trials'?; see `tuner --help`"),
        (["trials", "churn", "--lmit", "3"], 2, "Error: no such option '--lmit' "),
        (["status", "churn", "--storage", "sqlite:///no.db"], 6, "Error: storage 'sqlite:///no.db': there is no file"),
        (["status", "churn", "--storage", "oracle://x"], 2, "Error: storage URL 'oracle://x': unknown database"),
        (["status", "churn", "--storage", "bad.db"], 2, "Error: storage URL 'bad.db' is not a URL; write sqlite:///"),
        (["status", "churn", "--storage", "sqlite:///text.db"], 1, "Error: storage 'sqlite:///text.db' is damaged or"),
        (["resume", "churn"], 2, "Error: study 'churn' was not started by tuner"),
        (["resume", "nope"], 3, "Error: there is no study 'nope'"),
        (["worker", "nope"], 3, "Error: there is no study 'nope'"),
        (["stop", "nope"], 3, "Error: there is no study 'nope'"),
        (["delete", "nope", "--yes"], 3, "Error: there is no study 'nope'"),
        (["start"], 2, "Error: say what to tune: a built-in study (breast_cancer, "),
        (["start", "irsi"], 2, "Error: there is no built-in study 'irsi'; did you mean 'iris'?"),
        (["start", "none.toml"], 2, "Error: none.toml: no such study file; `tuner init` writes one"),
        (
            ["start", "iris", "--trials", "-3"],
            2,
            "Error: invalid value for '--trials': -3 is not in the range x>=1",
        ),
        (["start", "iris", "-S", "space.learning_rate=1..0.1"], 2, "Error: iris [space] learning_rate = 1..0.1: "),
        (["start", "iris", "--workers", "0"], 2, "Error: invalid value for '--workers': 0 is not in the range x>=1"),
        (["resume", "churn", "--add", "0"], 2, "Error: invalid value for '--add': 0 is not in the range x>=1"),
        (["start", "iris", "-S", "trails=3"], 2, "Error: iris: unknown key 'trails'"),
        (["start", "iris", "--name", "churn"], 5, "Error: study 'churn' exists already; "),
        (["start", "iris", "--timeout", "soon"], 2, "Error: --timeout soon: a duration is written like 90, "),
        (["init", "--data", "x.csv"], 2, "Error: --data x.csv: which column is to be predicted? write --target COLUMN"),
        (["init", "--target", "y"], 2, "Error: --target y: of which table? write --data FILE too"),
        (["init", "../x"], 2, "Error: '../x': a name holds letters, "),
        (["check", "none.toml"], 2, "Error: none.toml: no such study file"),
    ],
)
def test_an_error_is_one_line_and_has_its_code(run: Run, arguments: list[str], code: int, line: str) -> None:
    samples.write()
    _write_empty("new")
    Path("text.db").write_text("this is no database, but a text of some length\n" * 20)
    result = run(*arguments)
    assert result.stderr.splitlines()[-1].startswith(line)
    progress = [one for one in result.stderr.splitlines() if one.endswith("reading the data, starting the workers")]
    assert (result.exit_code, result.stdout) == (code, "")
    assert len(result.stderr.splitlines()) == 1 + len(progress)


def _write_empty(name: str) -> None:
    import optuna

    import storage

    opened = storage.open_storage("sqlite:///tuner.db")
    optuna.create_study(study_name=name, storage=opened)
    opened.close()


def test_a_server_that_is_away_is_told_without_its_password(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.study.FIRST_CONTACT_SECONDS", 0.1)
    result = run("studies", "--storage", "postgresql://me:secret@127.0.0.1:1/none")
    assert result.exit_code == 6
    assert "secret" not in result.output
    assert "postgresql://me:***@127.0.0.1:1/none" in result.stderr


def test_an_unexpected_error_is_one_line_and_a_traceback_with_debug(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("tuner.study.load", broken)
    result = run("status", "churn")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: internal error: RuntimeError: two (--debug shows the traceback)\n",
    )
    assert "Traceback" in run("status", "churn", "--debug").stderr


def test_an_objectives_error_shows_its_own_traceback() -> None:
    error = ObjectiveError("the objective failed", traceback="Traceback …\nValueError: mine\n")
    assert message_of(error) == "Error: the objective failed\n\nTraceback …\nValueError: mine"


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (Terminated(signal.SIGTERM), 143), (Terminated(signal.SIGHUP), 129)],
)
def test_an_interrupted_command_has_the_code_of_its_signal(error: BaseException, code: int) -> None:
    assert exit_code_of(error) == code
    assert message_of(error) == ""


def test_ctrl_c_in_any_command_is_silent(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.study.load", _raising(KeyboardInterrupt()))
    result = run("status", "churn")
    assert (result.exit_code, result.output) == (130, "")


def test_a_refused_question_is_an_interruption(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.study.load", _raising(click.Abort()))
    assert run("status", "churn").exit_code == 130


def test_a_reader_that_leaves_is_no_error() -> None:
    samples.write()
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "tuner", "trials", "churn", "-o", "json"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_full_disk_is_told_in_a_line() -> None:
    samples.write()
    done = _tuner("trials churn > /dev/full")
    assert done.returncode == 1
    assert done.stderr == "Error: what is printed cannot be written: No space left on device\n"


def test_a_closed_stdout_takes_nothing_and_hides_no_error() -> None:
    samples.write()
    done = _tuner("studies >&-")
    assert (done.returncode, done.stderr) == (0, "")
    done = _tuner("best nope >&-")
    assert done.returncode == 3
    assert done.stderr.startswith("Error: there is no study 'nope'")
    assert _tuner("best churn >&- 2>&-").returncode == 0


def _tuner(arguments: str) -> subprocess.CompletedProcess[str]:
    command = f"{sys.executable} -m tuner {arguments}"
    return subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False)


def _raising(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail
