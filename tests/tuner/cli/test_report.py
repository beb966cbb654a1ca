"""``tuner report``, as a person types it."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

import storage
from tests.tuner.cli import samples
from tests.tuner.cli.conftest import Run
from tuner.study import DEFAULT_STORAGE


def test_the_file_is_named_after_the_study(run: Run) -> None:
    samples.write()
    written = run("report", "churn")
    assert written.exit_code == 0
    assert (written.stdout, written.stderr) == ("", "churn.html is written; open it in a browser\n")
    assert "Trial 1 is the best" in Path("churn.html").read_text(encoding="utf-8")


def test_the_page_may_go_to_stdout(run: Run) -> None:
    samples.write()
    printed = run("report", "churn", "--to", "-")
    assert (printed.exit_code, printed.stderr) == (0, "")
    assert "Trial 1 is the best" in printed.stdout
    assert not Path("-").exists()


def test_a_file_that_cannot_be_written_is_named_as_it_was_asked_for(run: Run) -> None:
    samples.write()
    refused = run("report", "churn", "--to", "/proc/churn.html")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: /proc/churn.html: ")


def test_a_file_that_is_there_stays_unless_forced(run: Run) -> None:
    samples.write()
    Path("mine.html").write_text("mine")
    refused = run("report", "churn", "--to", "mine.html")
    assert (refused.exit_code, refused.stderr) == (
        2,
        "Error: mine.html: it is there already; --force overwrites it\n",
    )
    assert Path("mine.html").read_text() == "mine"
    assert run("report", "churn", "--to", "mine.html", "--force", "--quiet").stderr == ""
    assert Path("mine.html").read_text(encoding="utf-8") != "mine"
    assert not list(Path().glob(".*.part"))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("absent",), 3, "there is no study 'absent'"),
        (("empty",), 4, "study 'empty' has no finished trial yet"),
        (("churn", "--to", "absent/churn.html"), 2, "absent/churn.html: there is no folder 'absent'"),
    ],
)
def test_what_cannot_be_reported_is_said_in_a_line(run: Run, arguments: tuple[str, ...], code: int, said: str) -> None:
    samples.write()
    optuna.create_study(study_name="empty", storage=storage.open_storage(DEFAULT_STORAGE))
    refused = run("report", *arguments)
    assert refused.exit_code == code
    assert refused.stderr.startswith(f"Error: {said}")
    assert len(refused.stderr.splitlines()) == 1
    assert not list(Path().glob("*.html"))
