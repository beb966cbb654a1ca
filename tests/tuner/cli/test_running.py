"""Whole runs, in processes of their own, as a person starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest

from tests.tuner.cli.conftest import Run

OBJECTIVE = """
import sys, time

def objective(trial):
    x = trial.suggest_float("x", -1, 1)
    if trial.number == 2:
        print("ready", flush=True)
        time.sleep(3600)
    return x ** 2

def quick(trial):
    return trial.suggest_float("x", -1, 1) ** 2

def broken(trial):
    raise ValueError("mine")

def infeasible(trial):
    trial.set_constraint("size", 1.0)
    return trial.suggest_float("x", -1, 1), 1.0
"""
TUNER = [sys.executable, "-m", "tuner"]


@pytest.fixture(autouse=True)
def _objective(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OBJECTIVE)


def tuner(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process without a terminal."""
    return subprocess.run([*TUNER, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


@contextmanager
def running(*arguments: str, under: Sequence[str] = ()) -> Iterator[subprocess.Popen[str]]:
    """A run whose objective has said that it is ready; it is in a process group of its own, as in a shell."""
    process = subprocess.Popen(
        [*under, *TUNER, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        said = ""
        while not said.endswith("ready\n"):
            line = process.stderr.readline()
            assert line, f"it ended with code {process.wait()}: {said}"
            said += line
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_run_ends_with_its_best_trials_and_what_to_type_next(run: Run) -> None:
    done = tuner("start", "iris", "--trials", "3", "--workers", "1", "-S", "training.epochs=3")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("iris: 3 of 3 trials done in ")
    assert lines[3].split()[:6] == ["trial", "accuracy", "in", "training", "loss", "in"]
    assert "learning_rate" in done.stdout
    assert "iris: reading the data, starting the workers" in done.stderr
    assert "tuner resume iris --add 10" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert run("show", "iris", "0").exit_code == 0


def test_a_run_tells_programs_how_it_ended() -> None:
    done = tuner("start", "mine.py:quick", "--name", "mine", "--trials", "4", "-q", "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    record = json.loads(done.stdout)
    assert (record["name"], record["state"], record["done"], record["stopped"]) == ("mine", "done", 4, "budget spent")
    assert len(record["best"]) == 1


@pytest.mark.parametrize(
    ("number", "code", "group"),
    [(signal.SIGINT, 130, True), (signal.SIGINT, 130, False), (signal.SIGTERM, 143, False), (signal.SIGHUP, 129, True)],
)
def test_an_interrupted_run_is_continued_by_resume(run: Run, number: int, code: int, group: bool) -> None:
    with running("start", "mine.py:objective", "--name", "mine", "--trials", "4", "--workers", "1") as process:
        (os.killpg if group else os.kill)(process.pid, number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert "interrupted: study 'mine' has 2 of 4 trials done; `tuner resume mine` continues it" in said
    assert "Traceback" not in said
    record = json.loads(run("status", "mine", "-o", "json").stdout)
    assert (record["state"], record["workers"], record["stopped"]) == ("stopped", 0, "interrupted")
    counts = record["counts"]
    assert (counts["finished"], counts["waiting"] + counts["interrupted"]) == (2, 1)
    Path("mine.py").write_text(OBJECTIVE.replace("time.sleep(3600)", "pass"))
    assert tuner("resume", "mine", "--workers", "1").returncode == 0
    assert json.loads(run("status", "mine", "-o", "json").stdout)["counts"]["finished"] == 4


def test_a_run_under_nohup_outlives_its_terminal(run: Run) -> None:
    arguments = ("start", "mine.py:objective", "--name", "mine", "--trials", "4", "--workers", "1")
    with running(*arguments, under=["nohup"]) as process:
        os.killpg(process.pid, signal.SIGHUP)
        os.kill(process.pid, signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 143, "the first of the two would have ended it with 129"
    assert "interrupted: study 'mine' has 2 of 4 trials done" in said


def test_stop_ends_a_run_that_is_somewhere_else(run: Run) -> None:
    with running("start", "mine.py:objective", "--name", "mine", "--trials", "4", "--workers", "1"):
        assert run("stop", "mine").stdout == "study 'mine': 1 worker asked to leave\n"
        refused = run("delete", "mine", "--yes")
        assert refused.exit_code == 2
        assert "1 worker at work" in refused.stderr


@pytest.mark.parametrize("flags", [(), ("-q",)], ids=["the launcher notices", "a worker notices"])
def test_a_study_that_plain_optuna_deletes_while_it_runs_is_told_in_one_line(flags: tuple[str, ...]) -> None:
    Path("mine.py").write_text(
        OBJECTIVE.replace("time.sleep(3600)", "import os\n        while not os.path.exists('go'): time.sleep(0.05)")
    )
    arguments = ("start", "mine.py:objective", "--name", "mine", "--trials", "4", "--workers", "1", *flags)
    with running(*arguments) as process:
        optuna.delete_study(study_name="mine", storage=optuna.storages.RDBStorage("sqlite:///tuner.db"))
        if flags:
            Path("go").touch()
        _, said = process.communicate(timeout=60)
    assert said.splitlines()[-1] == "Error: study 'mine' was deleted while it ran: nothing of it is left"
    assert "Traceback" not in said
    assert process.returncode == 3


def test_what_an_objective_prints_is_no_result() -> None:
    Path("mine.py").write_text(
        "print('loaded')\n" + OBJECTIVE.replace("def quick(trial):", "def quick(trial):\n    print('called')")
    )
    done = tuner("start", "mine.py:quick", "--name", "mine", "--trials", "2", "-o", "json")
    assert json.loads(done.stdout)["done"] == 2
    assert "called" in done.stderr


def test_what_is_left_out_of_a_script_is_told_once() -> None:
    search = "import optuna\noptuna.create_study(study_name='its', storage='sqlite:///its.db').optimize(quick)\n"
    Path("mine.py").write_text(OBJECTIVE + search)
    done = tuner("start", "mine.py:quick", "--trials", "4", "--workers", "2")
    assert done.returncode == 0
    assert done.stderr.count("begins a search of its own and is left out") == 1
    assert not Path("its.db").exists()


def test_a_study_that_has_spent_its_budget_is_told_so(run: Run) -> None:
    assert tuner("start", "mine.py:quick", "--name", "mine", "--trials", "2").returncode == 0
    result = run("resume", "mine")
    assert result.exit_code == 0
    assert "study 'mine' has spent its budget; --add N gives it N trials more" in result.stderr
    assert "how much of it is luck: new seeds\n" in result.stderr, "a function has no test part"
    assert result.stdout.startswith("mine: 2 of 2 trials done")


def test_a_resume_that_differs_is_refused_and_a_wider_space_is_not(run: Run) -> None:
    arguments = ["-S", "training.epochs=2", "-S", "space.width=8..16"]
    assert tuner("start", "iris", "--trials", "1", "--workers", "1", *arguments).returncode == 0
    differs = run("resume", "iris", "-S", "training.epochs=9")
    assert (differs.exit_code, differs.stdout) == (5, "")
    assert "training.epochs: 2 → 9" in differs.stderr
    narrower = run("resume", "iris", "--add", "1", "-S", "space.width=8..12")
    assert narrower.exit_code == 5
    assert "space.width: " in narrower.stderr
    assert tuner("resume", "iris", "--add", "1", "-S", "space.width=4..64", "--workers", "1").returncode == 0


def test_a_broken_objective_ends_the_study_with_its_traceback() -> None:
    done = tuner("start", "mine.py:broken", "--name", "mine", "--trials", "20", "--workers", "1")
    assert done.returncode == 1
    assert "ValueError: mine" in done.stderr
    assert 'mine.py", line 15, in broken' in done.stderr
    assert done.stdout == ""


def test_a_run_in_which_no_trial_keeps_to_the_constraints_says_so() -> None:
    both = ["-S", "objective.direction=minimize,minimize"]
    done = tuner("start", "mine.py:infeasible", "--trials", "2", "--workers", "1", *both)
    assert done.returncode == 4
    assert "2 finished" in done.stdout
    assert done.stderr.endswith("Error: study 'mine' has no finished trial that keeps to its constraints yet\n")


def test_fewer_trials_than_there_are_is_no_budget(run: Run) -> None:
    assert tuner("start", "mine.py:quick", "--name", "mine", "--trials", "3").returncode == 0
    refused = run("resume", "mine", "--trials", "2")
    assert refused.exit_code == 2
    assert refused.stderr == "Error: --trials 2: study 'mine' has 3 trials already; --add N gives it N more\n"
    assert json.loads(run("status", "mine", "-o", "json").stdout)["budget"] == 3
    assert "reading the data" not in run("start", "absent").stderr, "what cannot be begun is refused before it is"
