from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tuner.cli.group import cli

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test works in a folder of its own, with no storage named in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("TUNER_STORAGE", "OPTUNA_STORAGE", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run() -> Run:
    """The command line in this process, without a terminal."""

    def invoke(*arguments: str, text: str | None = None) -> Result:
        return CliRunner().invoke(cli, list(arguments), input=text, prog_name="tuner")

    return invoke
