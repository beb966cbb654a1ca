from __future__ import annotations

import subprocess
import sys

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial

import storage
from tests.tuner.cli import samples
from tuner.study import DEFAULT_STORAGE

HEAVY = ("torch", "sklearn", "polars", "pandas", "pydantic", "rich", "tuner.training", "objectives")


def imported_by(*arguments: str) -> set[str]:
    """The modules that a command has imported when it ends."""
    code = (
        "import sys, atexit\n"
        f"sys.argv = ['tuner', *{list(arguments)!r}]\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from tuner.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["studies"], ["status", "churn"], ["trials", "churn", "-o", "csv"], ["best", "churn"], ["show", "churn", "1"],
        ["stop", "churn"], ["delete", "churn", "--yes"], ["models"],
    ],
)  # fmt: skip
def test_a_command_that_only_reads_imports_nothing_heavy(arguments: list[str]) -> None:
    samples.write()
    assert not imported_by(*arguments) & set(HEAVY)


def test_a_report_imports_neither_torch_nor_the_objective() -> None:
    study = optuna.create_study(study_name="many", storage=storage.open_storage(DEFAULT_STORAGE))
    for number in range(25):
        x = {"x": number / 25}
        study.add_trial(create_trial(value=x["x"] ** 2, params=x, distributions={"x": FloatDistribution(0, 1)}))
    brought_by_importances = {"sklearn", "pandas", "rich"}
    assert not imported_by("report", "many") & (set(HEAVY) - brought_by_importances)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["start", "--help"], ["predict", "--help"]])
def test_help_needs_no_database(arguments: list[str]) -> None:
    assert not imported_by(*arguments) & {*HEAVY, "sqlalchemy", "optuna"}
