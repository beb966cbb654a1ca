from __future__ import annotations

import subprocess
import sys

import pytest

from tests.tuner.cli import samples

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
        ["report", "churn"], ["stop", "churn"], ["delete", "churn", "--yes"], ["models"],
    ],
)  # fmt: skip
def test_a_command_that_only_reads_imports_nothing_heavy(arguments: list[str]) -> None:
    samples.write()
    assert not imported_by(*arguments) & set(HEAVY)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["start", "--help"], ["predict", "--help"]])
def test_help_needs_no_database(arguments: list[str]) -> None:
    assert not imported_by(*arguments) & {*HEAVY, "sqlalchemy", "optuna"}
