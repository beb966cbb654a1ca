from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.trial import TrialState, create_trial

import storage
from tests.tuner import studies
from tests.tuner.cli import samples
from tests.tuner.cli.conftest import Run
from tests.tuner.models.predicting import ONE_TRIAL
from tuner import attributes
from tuner.cli.studies import state_of
from tuner.results import STATES, Status

TRIAL_KEYS = ["number", "state", "values", "params", "attributes", "constraints", "started", "seconds"]
STUDY_KEYS = [
    "name", "state", "metrics", "directions", "counts", "budget", "done", "workers", "best", "stopped",
    "last_activity", "storage",
]  # fmt: skip


def test_best_shows_the_best_trial_with_its_scores_and_its_verdict(run: Run) -> None:
    samples.write()
    result = run("best", "churn")
    assert result.exit_code == 0
    assert "trial     1 of study churn: finished" in result.stdout
    assert "0.9375  (maximize)" in result.stdout
    assert "overfits slightly" in result.stdout
    assert "12,345 weights" in result.stdout
    assert "5, the best is 4; stopped early" in result.stdout


def test_best_with_a_limit_lists_the_best_first(run: Run) -> None:
    samples.write()
    result = run("best", "churn", "--limit", "3")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["trial", "1", "3", "0"]


def test_best_of_several_metrics_is_the_front(run: Run) -> None:
    samples.write_two_metrics()
    rows = json.loads(run("best", "front", "-o", "json").stdout)
    assert [row["number"] for row in rows] == [0, 1]


@pytest.mark.parametrize("form", ["json", "jsonl", "yaml"])
def test_trials_have_stable_keys_and_full_precision(run: Run, form: str) -> None:
    samples.write()
    text = run("trials", "churn", "-o", form).stdout
    if form == "jsonl":
        rows = [json.loads(line) for line in text.splitlines()]
    else:
        rows = json.loads(text) if form == "json" else yaml.safe_load(text)
    assert len(rows) == 7
    assert [list(row) for row in rows] == [TRIAL_KEYS] * 7
    assert rows[3]["params"] == {"learning_rate": 1e-4, "optimizer": "adam"}
    assert [row["state"] for row in rows[4:]] == ["pruned", "diverged", "failed"]


def test_what_json_has_no_word_for_is_null(run: Run) -> None:
    samples.write()
    row = json.loads(run("show", "churn", "5", "-o", "json").stdout)
    assert row["values"] == {"accuracy": None}


def test_trials_as_csv_have_a_column_for_each_value_and_hyperparameter(run: Run) -> None:
    samples.write()
    text = run("trials", "churn", "--sort", "value", "--limit", "2", "-o", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["number"] for row in rows] == ["1", "3"]
    assert rows[0]["values.accuracy"] == "0.9375"
    assert rows[0]["params.optimizer"] == "adam"
    assert rows[0]["attributes.validation.loss"] == "0.5"


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        (["--sort", "value"], [1, 3, 0, 2]),
        (["--sort", "accuracy", "--descending"], [2, 0, 3, 1]),
        (["--sort", "learning_rate"], [3, 2, 1, 0]),
        (["--sort", "number", "--reverse", "--limit", "2"], [3, 2]),
    ],
)
def test_trials_are_sorted_by_what_is_asked(run: Run, arguments: list[str], numbers: list[int]) -> None:
    samples.write()
    result = run("trials", "churn", "--state", "finished", "-o", "json", *arguments)
    assert [row["number"] for row in json.loads(result.stdout)] == numbers


def test_the_columns_of_a_csv_are_those_of_the_study_whichever_trials_are_shown(run: Run) -> None:
    samples.write()
    head, *_ = run("trials", "churn", "-o", "csv").stdout.splitlines()
    assert "attributes.failure.reason" in head
    for command in (("trials", "churn", "--limit", "1"), ("trials", "churn", "--state", "waiting"), ("best", "churn")):
        assert run(*command, "-o", "csv").stdout.splitlines()[0] == head


def test_a_csv_has_a_column_for_each_hyperparameter_that_is_searched(run: Run, tmp_path: Path) -> None:
    space = {"learning_rate": 0.02, "depth": 1, "width": [4, 8], "optimizer": ["sgd", "adam"]}
    results = studies.create(tmp_path, **ONE_TRIAL | {"space": space})
    studies.work(results)
    head, _ = run("trials", "quick", "-o", "csv").stdout.splitlines()
    params = [name for name in head.split(",") if name.startswith("params.")]
    assert {"params.width", "params.optimizer", "params.momentum"} <= set(params)
    assert not {"params.learning_rate", "params.depth"} & set(params)


def test_an_empty_list_is_still_a_list(run: Run) -> None:
    samples.write()
    assert json.loads(run("trials", "churn", "--state", "waiting", "-o", "json").stdout) == []
    assert run("trials", "churn", "--state", "waiting", "-o", "jsonl").stdout == ""
    assert run("trials", "churn", "--state", "waiting", "-o", "csv").stdout.startswith("number,state,")
    shown = run("trials", "churn", "--state", "waiting")
    assert (shown.stdout, shown.stderr) == ("", "study 'churn' has no waiting trials yet\n")


def test_a_table_without_a_terminal_is_plain_and_whole(run: Run) -> None:
    samples.write()
    lines = run("trials", "churn").stdout.splitlines()
    assert lines[0].split() == ["trial", "state", "accuracy", "time", "learning_rate", "optimizer"]
    assert len(lines) == 8
    assert "\x1b" not in "".join(lines)


def test_status_tells_how_a_study_stands(run: Run) -> None:
    samples.write()
    shown = run("status", "churn").stdout
    assert "7 of 10 done: 4 finished, 1 pruned, 1 diverged, 1 failed" in shown
    assert "0.9375 by trial 1" in shown
    record = json.loads(run("status", "churn", "-o", "json").stdout)
    assert list(record) == STUDY_KEYS
    assert record["state"] == "stopped"
    assert record["best"][0]["number"] == 1


def test_a_study_whose_first_trials_were_interrupted_is_not_new() -> None:
    counts = dict.fromkeys(STATES, 0)
    new = Status(name="churn", counts=counts, budget=10, done=0, workers=0, best=[], stopped=None)
    assert state_of(new) == "new"
    assert state_of(replace(new, counts={**counts, "interrupted": 1})) == "stopped"


def test_studies_lists_every_study(run: Run) -> None:
    samples.write("churn", budget=7)
    samples.write_two_metrics()
    records = json.loads(run("studies", "-o", "json").stdout)
    assert [(record["name"], record["state"], record["done"]) for record in records] == [
        ("churn", "done", 7),
        ("front", "stopped", 3),
    ]
    lines = run("studies").stdout.splitlines()
    assert lines[1].startswith("churn  done        7/7      0.9375  accuracy")
    assert "front of 2" in lines[2]


def test_without_any_study_one_is_told_how_to_make_one(run: Run) -> None:
    result = run("studies")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "there are no studies in sqlite:///tuner.db yet" in result.stderr
    assert json.loads(run("studies", "-o", "json").stdout) == []


def test_show_tells_why_a_trial_failed_without_obeying_its_text(run: Run) -> None:
    samples.write()
    result = run("show", "churn", "6")
    assert "objective_error: ValueError: \\x1b[31mboom" in result.stdout
    assert 'File "mine.py", line 3, in network' in result.stdout
    assert "\x1b" not in result.stdout


def test_show_draws_the_curve_and_the_confusion_matrix(run: Run) -> None:
    samples.write()
    shown = run("show", "churn", "1").stdout
    assert "loss by epoch: training (dashed) and validation" in shown
    assert "accuracy by epoch" in shown
    assert "true ↓  said →   0   1" in shown


def test_show_as_csv_is_the_curve(run: Run) -> None:
    samples.write()
    rows = list(csv.DictReader(io.StringIO(run("show", "churn", "1", "-o", "csv").stdout)))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert rows[3]["validation_loss"] == "0.3"
    whole = json.loads(run("show", "churn", "1", "-o", "json").stdout)
    assert list(whole) == [*TRIAL_KEYS, "epochs", "confirmation"]


def test_the_storage_is_the_flags_then_the_environments(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("flag", "tuner", "optuna"):
        samples.write(name, url=f"sqlite:///{name}.db")
    monkeypatch.setenv("OPTUNA_STORAGE", "sqlite:///optuna.db")
    assert run("status", "optuna").exit_code == 0
    monkeypatch.setenv("TUNER_STORAGE", "sqlite:///tuner.db")
    assert run("status", "tuner").exit_code == 0
    assert run("status", "flag", "--storage", "sqlite:///flag.db").exit_code == 0


def test_delete_asks_and_removes(run: Run) -> None:
    samples.write()
    refused = run("delete", "churn")
    assert (refused.exit_code, refused.stderr) == (
        2,
        "Error: study 'churn' has 7 trials and nobody is here to confirm; write --yes\n",
    )
    assert run("delete", "churn", "--yes").exit_code == 0
    assert run("status", "churn").exit_code == 3


def test_delete_takes_no_for_an_answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    samples.write()
    monkeypatch.setattr("tuner.cli.studies._somebody_is_here", lambda: True)
    refused = run("delete", "churn", text="n\n")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("Remove study 'churn' with its 7 trials? [y/N]: ")
    assert refused.stderr.endswith("nothing is removed\n")
    assert run("status", "churn").exit_code == 0
    assert run("delete", "churn", text="y\n").exit_code == 0
    assert run("status", "churn").exit_code == 3


def test_stop_says_when_nobody_is_at_work(run: Run) -> None:
    samples.write()
    assert run("stop", "churn").stdout == "study 'churn': no worker is at work\n"


FOREIGN: dict[str, Any] = {
    "validation": {"loss": 0.5, "confusion_matrix": "abc"},
    "training": [1, 2],
    "final": {"examples": [1]},
    "failure": "none",
    "verdict": 3,
    "epochs": "many",
}


def test_what_plain_optuna_keeps_under_our_names_is_shown_as_it_is(run: Run) -> None:
    study = optuna.create_study(study_name="plain", storage="sqlite:///tuner.db")
    for matrix in ([1, 2], [[1], [2]], "abc"):
        noted = FOREIGN | {"validation": {"loss": 0.5, "confusion_matrix": matrix}}
        study.add_trial(create_trial(state=TrialState.COMPLETE, value=1.0, user_attrs=noted))
    for number in range(3):
        shown = run("show", "plain", str(number))
        assert shown.exit_code == 0, shown.stderr
        told = [" ".join(line.split()) for line in shown.stdout.splitlines()]
        assert told[0] == f"trial {number} of study plain: finished"
        expected = ["training [1, 2]", "final.examples [1]", "failure none", "verdict 3", "epochs many"]
        assert set(expected) <= set(told)
        assert any(line.startswith("validation.confusion_matrix ") for line in told)
        assert "loss – 0.5000" in told
    for arguments in (("best",), ("best", "--limit", "3"), ("status",), ("trials",)):
        assert run(*arguments[:1], "plain", *arguments[1:]).exit_code == 0


def test_what_a_terminal_cannot_show_ends_no_command() -> None:
    samples.write()
    optuna.create_study(study_name="new", storage="sqlite:///tuner.db")
    done = subprocess.run(
        [sys.executable, "-m", "tuner", "studies"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line.split()[0] for line in done.stdout.splitlines()] == [b"study", b"churn", b"new"]
    assert done.stdout.splitlines()[2].split()[3] == b"?"


def test_what_one_may_sort_by_is_named_once(run: Run) -> None:
    samples.write_two_metrics()
    optuna.create_study(study_name="plain", storage="sqlite:///tuner.db").add_trial(create_trial(value=1.0))
    assert run("trials", "plain", "--sort", "x").stderr.count("value") == 1


def test_the_time_of_a_trial_that_nobody_works_on_stands_still(run: Run) -> None:
    samples.write()
    opened = storage.open_storage("sqlite:///tuner.db")
    study_id = opened.get_study_id_from_name("churn")
    opened.set_study_user_attr(study_id, attributes.SPEC, {})
    (claim,) = opened.claim(study_id, 1)
    assert json.loads(run("show", "churn", "7", "-o", "json").stdout)["seconds"] is not None
    opened.release([claim.trial_id])
    row = json.loads(run("show", "churn", "7", "-o", "json").stdout)
    assert (row["state"], row["seconds"]) == ("interrupted", None)
    opened.close()
