from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import tuner


def sample_of_mine(trial: Any) -> float:
    return float(trial.suggest_float("x", 0, 1))


@pytest.mark.parametrize("name", tuner.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(tuner, name) is not None


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'tuner' has no attribute 'strat'"):
        getattr(tuner, "strat")  # noqa: B009 - mypy knows that it is not there


def test_a_study_file_may_be_a_path(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"\n[data]\nsource = "iris"\ntarget = "species"\n')
    assert tuner.read_spec(tmp_path / "mine.toml")[0].name == "mine"


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (sample_of_mine, f"sample_of_mine is named, not handed over, .* write '{__file__}:sample_of_mine'"),
        (lambda trial: trial.number, f"objective is named, not handed over, .* write '{__file__}:objective'"),
        (eval("lambda trial: 1.0"), "objective is named, .* save it in a file, and write 'my_file.py:objective'"),
        (3, "3 is no source of a study: name a built-in study, a study file or module:attribute"),
    ],
)
def test_what_is_no_name_of_a_study_says_how_to_name_it(source: Any, line: str) -> None:
    with pytest.raises(tuner.UsageError, match=line):
        tuner.start(source)


@pytest.mark.parametrize(
    ("storage", "kind"),
    [
        ("sqlite:////nonexistent/x.db", tuner.StorageNotFoundError),
        ("postgresql://me@127.0.0.1:1/none", tuner.StorageUnreachableError),
        ("x.db", tuner.UsageError),
    ],
)
def test_a_storage_that_cannot_be_used_is_an_error_of_ours(
    storage: str, kind: type[tuner.TunerError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.study.FIRST_CONTACT_SECONDS", 0.1)
    with pytest.raises(kind):
        tuner.load("iris", storage=storage)
    with pytest.raises(kind):
        tuner.start("iris", workers=1, storage=storage)


def test_importing_the_api_imports_next_to_nothing() -> None:
    code = """
        import sys, tuner
        from tuner import load
        assert not {"torch", "sklearn", "optuna", "sqlalchemy", "pydantic"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
