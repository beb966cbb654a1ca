"""What the command line says of a study's first trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from tests.tuner import studies
from tests.tuner.cli.conftest import Run
from tuner.cli.group import cli
from tuner.cli.summary import print_summary
from tuner.results import Results


def summary(results: Results, capsys: pytest.CaptureFixture[str]) -> str:
    with click.Context(cli):
        print_summary(results, elapsed=1, storage=None)
    return capsys.readouterr().out


def test_the_end_of_a_run_says_what_tuning_brought(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = studies.create(tmp_path, search={"sampler": "tpe"}, budget={"trials": 1})
    studies.work(results)
    usual = results.trial(0).values["accuracy"]
    line = f"the usual configuration (trial 0): accuracy {usual:.4f}"
    assert f"{line}; nothing better was found\n" in summary(results, capsys)
    results.storage.set_budget(results.study_id, 12)
    studies.work(results)
    best = results.best()[0].values["accuracy"]
    assert best != usual
    assert f"{line}; tuning brought {best:.4f}\n" in summary(results, capsys)


@pytest.mark.parametrize("metric", ["accuracy", ["accuracy", "log_loss"]])
def test_the_end_of_a_run_says_nothing_of_it_where_nothing_compares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], metric: Any
) -> None:
    search = {"sampler": "tpe", "first": []} if metric == "accuracy" else {"sampler": "tpe"}
    results = studies.create(
        tmp_path, objective={"metric": metric}, search=search, training={"epochs": 1}, budget={"trials": 2}
    )
    studies.work(results)
    assert "usual" not in summary(results, capsys)


def test_a_trial_that_is_shown_says_that_it_has_the_usual_configuration(tmp_path: Path, run: Run) -> None:
    results = studies.create(tmp_path, search={"sampler": "tpe"}, training={"epochs": 1}, budget={"trials": 2})
    studies.work(results)
    shown = run("show", "quick", "0").stdout
    assert "0 of study quick: finished, the usual configuration" in shown
    assert "usual" not in run("show", "quick", "1").stdout


def test_what_a_first_trial_did_not_use_is_shown(tmp_path: Path, run: Run) -> None:
    (tmp_path / "mine.py").write_text("def objective(trial):\n    return trial.suggest_float('x', 0, 1)\n")
    objective = {"name": "mine.py:objective"}
    search = {"first": [{"x": 1, "y": 2}]}
    studies.work(studies.create(tmp_path, data={}, training={}, objective=objective, search=search))
    assert "first: y = 2 was not used: the trial did not ask for it" in run("show", "quick", "0").stdout
