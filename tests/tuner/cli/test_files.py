from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.tuner.cli.conftest import Run
from tuner.study_file import built_in_names, read_text

OBJECTIVE = """
def objective(trial):
    print("called")
    return trial.suggest_float("x", 0, 1) ** 2

def broken(trial):
    raise ValueError("mine")
"""


@pytest.mark.parametrize("name", built_in_names())
def test_init_copies_a_built_in_study(run: Run, name: str) -> None:
    assert run("init", name).exit_code == 0
    assert Path(f"{name}.toml").read_text(encoding="utf-8") == read_text(name)


def test_init_takes_the_name_of_the_file_for_that_of_the_study(run: Run) -> None:
    assert run("init", "churn.toml", "--data", "churn.csv", "--target", "churned").exit_code == 0
    assert run("init", "digits.toml").exit_code == 0
    assert sorted(path.name for path in Path().iterdir()) == ["churn.toml", "digits.toml"]
    assert 'name = "churn"' in Path("churn.toml").read_text(encoding="utf-8")
    assert Path("digits.toml").read_text(encoding="utf-8") == read_text("digits")


def test_init_never_overwrites_unless_told_to(run: Run) -> None:
    Path("churn.toml").write_text("mine")
    arguments = ("init", "churn", "--data", "churn.csv", "--target", "churned")
    refused = run(*arguments)
    assert (refused.exit_code, refused.stderr) == (
        2,
        "Error: churn.toml: it is there already; --force overwrites it\n",
    )
    assert Path("churn.toml").read_text() == "mine"
    assert run(*arguments, "--force").exit_code == 0
    assert 'source = "churn.csv"' in Path("churn.toml").read_text(encoding="utf-8")


def test_a_name_with_a_comma_is_quoted_where_names_stand_in_a_row(run: Run) -> None:
    rows = [f"{i % 7},{'yes' if (i * 7) % 3 else 'no, never'}" for i in range(60)]
    Path("churn.csv").write_text(
        "\n".join(['months,"left, or not"', *(row.replace("no, never", '"no, never"') for row in rows)])
    )
    said = run("check", "--data", "churn.csv", "--target", "left, or not").stdout
    assert "task classification, columns 'left, or not', positive yes" in said
    assert "training: 'no, never' 12, yes 24" in said


def test_init_says_that_the_data_is_not_there(run: Run) -> None:
    arguments = ("init", "--data", "churn.csv", "--target", "churned", "--force")
    assert run(*arguments).stderr.startswith("note: churn.csv: there is no such file yet\nchurn.toml is written")
    Path("churn.csv").write_text("age,churned\n1,2\n")
    assert run(*arguments).stderr.startswith("churn.toml is written")


def test_init_can_print_the_file(run: Run) -> None:
    result = run("init", "--stdout", "--data", "a.csv", "--target", "x", "--target", "y")
    assert 'name = "a"' in result.stdout
    assert 'target = ["x", "y"]' in result.stdout
    assert list(Path().iterdir()) == []


def test_what_init_writes_passes_check(run: Run) -> None:
    rows = [f"{i},{'ab'[i % 2]},{i % 7},{'yes' if (i * 7) % 3 else 'no'}" for i in range(60)]
    Path("churn.csv").write_text("\n".join(["id,plan,months,churned", *rows]))
    assert run("init", "churn", "--data", "churn.csv", "--target", "churned").exit_code == 0
    result = run("check", "churn.toml")
    assert result.exit_code == 0
    assert "churn.toml is ready: `tuner start churn.toml`" in result.stderr
    assert "task classification" in result.stdout
    assert "learning_rate" in result.stdout
    assert not Path("tuner.db").exists()
    whole = "--data churn.csv --target churned -S 'training.epochs=2' -S 'space.width=\"32..64\"'"
    tried = run("check", *shlex.split(whole))
    said = tried.stderr.partition("is ready: `tuner start ")[2].partition("`")[0]
    assert shlex.split(said) == shlex.split(whole)


def test_check_tells_programs_what_it_found(run: Run) -> None:
    record = json.loads(run("check", "iris", "-o", "json").stdout)
    assert list(record) == ["name", "data", "space", "params", "scores", "network_parameters", "seconds"]
    assert record["data"]["target"]["task"] == "classification"
    assert record["scores"].keys() == {"training_loss", "validation_loss", "accuracy"}


def test_check_runs_a_plain_function_once(run: Run) -> None:
    Path("mine.py").write_text(OBJECTIVE)
    result = run("check", "mine.py:objective")
    assert result.exit_code == 0
    assert result.stderr.count("called") == 1
    assert "one call" in result.stdout


UNDEFINED = """
import torch
from torch import nn

from tuner import Trainable
from tuner.metrics import Metric
from tuner.training import CrossEntropy, Dataset, Loss, Part


class Mine(Trainable):
    def load(self):
        part = Part(inputs=(torch.eye(8),), targets=torch.arange(8) % 2)
        return Dataset(training=part, validation=part)

    def network(self, params):
        return nn.Linear(8, 2)

    def loss(self, params):
        return CrossEntropy()


class NoNumber(Loss):
    name = "no_number"

    def __call__(self, outputs, targets):
        return outputs.sum((1, 2)) * torch.nan


class LossLess(Mine):
    def loss(self, params):
        return NoNumber()


class Undefined(Metric):
    def __call__(self, outputs, targets):
        return outputs.sum((1, 2)) * torch.nan


class ScoreLess(Mine):
    def metrics(self):
        return [Undefined(name="share", task="classification", direction="maximize", description="of nothing")]
"""


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (
            "LossLess",
            "training_loss is nan, validation_loss is nan after training with the usual configuration; look",
        ),
        ("ScoreLess", "share is nan after training with the usual configuration; trials without a value fail"),
    ],
)
def test_check_says_what_is_no_number_and_that_it_is_not_ready(run: Run, name: str, found: str) -> None:
    Path("mine.py").write_text(UNDEFINED)
    result = run("check", f"mine.py:{name}")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: mine.py:{name}: {found}")
    assert "is ready" not in result.stderr
    assert run("check", "mine.py:Mine").exit_code == 0


def test_check_shows_the_objectives_own_traceback(run: Run) -> None:
    Path("mine.py").write_text(OBJECTIVE)
    result = run("check", "mine.py:broken")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: the objective failed: ValueError: mine\n\nTraceback")
    assert 'mine.py", line 7, in broken' in result.stderr
    assert "tryout" not in result.stderr
