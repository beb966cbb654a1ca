"""A study's data is read by a process of its own: what it says, how it fails, and what is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tuner
from tests.tuner import studies
from tests.tuner.cli.test_light import imported_by
from tests.tuner.cli.test_running import running
from tests.tuner.cli.test_running import tuner as command
from tuner.errors import DataError, ObjectiveError, StudyConflictError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the data is read by the command itself")

MINE = """
import os, signal, time, warnings
import torch
from torch import nn
from tuner.errors import DataError
from tuner.training import CrossEntropy, Dataset, Part
from tuner import Trainable

class Mine(Trainable):
    def load(self):
        {load}
        part = Part(inputs=(torch.randn(20, 3),), targets=torch.arange(20) % 2)
        return Dataset(training=part, validation=part)

    def network(self, params):
        return nn.Linear(3, 2)

    def loss(self, params):
        return CrossEntropy()

    def describe(self):
        return {{"rows": 20, "kind": {kind}}}
"""


def write(load: str = "torch.manual_seed(0)", kind: str = "'small'") -> None:
    Path("mine.py").write_text(MINE.format(load=load, kind=kind))


def test_whoever_starts_a_built_in_study_imports_neither_torch_nor_scikit_learn() -> None:
    used = ("-S", "training.epochs=1", "-q", "--trials", "1", "--workers", "1", "-o", "csv")
    assert not imported_by("start", "iris", *used) & {"torch", "sklearn", "polars"}
    assert not imported_by("resume", "iris", "--add", "1", "--workers", "1", "-q", "-o", "csv") & {"torch", "sklearn"}


def test_what_reading_the_data_prints_is_no_result() -> None:
    write("torch.manual_seed(0); print('read'); warnings.warn('odd')")
    done = command("start", "mine.py:Mine", "--trials", "1", "-S", "training.epochs=1", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert "read\n" in done.stderr
    assert "UserWarning: odd" in done.stderr
    assert "read\n" not in done.stdout


def test_a_process_that_is_killed_while_it_reads_the_data_ends_the_command_in_one_line() -> None:
    write("os.kill(os.getpid(), signal.SIGKILL)")
    done = command("start", "mine.py:Mine", "--trials", "1", "-q")
    said = "Error: preparing the study: the process was killed by signal 9 (SIGKILL)"
    assert (done.returncode, done.stderr.strip()) == (1, said)
    assert not Path("tuner.db").exists()


def test_errors_keep_their_class_and_code(capfd: pytest.CaptureFixture[str]) -> None:
    write("raise DataError('rows.csv: no rows')")
    with pytest.raises(DataError, match=r"rows\.csv: no rows"):
        tuner.start("mine.py:Mine", trials=1)
    write("raise ValueError('mine')")
    with pytest.raises(ObjectiveError, match="ValueError: mine") as caught:
        tuner.start("mine.py:Mine", trials=1)
    assert "raise ValueError('mine')" in caught.value.traceback
    assert capfd.readouterr().err == ""


def test_an_error_is_one_line_and_debug_shows_where_it_was_raised() -> None:
    write("raise DataError('rows.csv: no rows')")
    done = command("start", "mine.py:Mine", "--trials", "1", "-q", "--debug")
    assert done.returncode == 2
    assert "in load\n    raise DataError('rows.csv: no rows')" in done.stderr
    assert done.stderr.endswith("\nError: rows.csv: no rows\n")
    assert not Path("tuner.db").exists()


def test_what_an_objective_describes_must_be_json() -> None:
    write(kind="torch.zeros(2)")
    done = command("start", "mine.py:Mine", "--trials", "1", "-q")
    assert done.returncode == 1
    assert "Error: Mine.describe() must return JSON: Object of type Tensor is not JSON serializable" in done.stderr


@pytest.mark.parametrize("group", [True, False])
def test_reading_the_data_is_interrupted_at_once_and_leaves_no_process(group: bool) -> None:
    write("print('ready', os.getpid(), 'ready', flush=True); time.sleep(3600)")
    with running("start", "mine.py:Mine", "--trials", "1") as process:
        (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said.splitlines() == ["interrupted before the first trial"]
    left = subprocess.run(["pgrep", "-g", str(process.pid)], capture_output=True, text=True, check=False)
    assert not left.stdout


def test_no_process_outlives_a_command_that_is_killed_while_the_data_is_read() -> None:
    write("print('ready', os.getpid(), 'ready', flush=True); time.sleep(3600)")
    with running("start", "mine.py:Mine", "--trials", "1") as process:
        process.kill()
        process.wait()
        subprocess.run(["timeout", "20", "sh", "-c", f"while pgrep -g {process.pid}; do sleep 0.1; done"], check=True)


def test_a_script_may_start_its_own_objective_without_a_guard() -> None:
    search = "results = tuner.start('mine.py:objective', trials=2, workers=1)"
    function = "def objective(trial):\n    return trial.suggest_float('x', 0, 1)"
    Path("mine.py").write_text("\n".join(["import tuner", function, search, "print(len(results.trials()), 'trials')"]))
    done = subprocess.run([sys.executable, "mine.py"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "2 trials\n"), done.stderr
    again = command("start", "mine.py:objective", "--name", "again", "--trials", "1", "--workers", "1")
    assert again.returncode == 0, again.stderr
    assert "mine.py: line 4 begins a search of its own and is left out, with all below it" in again.stderr


def test_a_resume_that_is_refused_for_its_data_changes_nothing_and_moved_data_is_found(tmp_path: Path) -> None:
    rows = "\n".join(f"{i % 7},{i % 3},{'ab'[i % 2]}" for i in range(60))
    Path("rows.csv").write_text(f"x,z,y\n{rows}\n")
    data = {"source": str(tmp_path / "rows.csv"), "target": "y"}
    studies.work(studies.create(tmp_path, data=data, budget={"trials": 1}, training={"epochs": 1}))
    before = tuner.load("quick").spec
    Path("rows.csv").rename("moved.csv")
    Path("other.csv").write_text(f"x,z,y\n{rows.replace('6', '5')}\n")
    for settings, error, said in (
        ([], DataError, f"{tmp_path / 'rows.csv'}: no such file; where it lies now, -S data.source=PATH says"),
        (["data.source=other.csv"], StudyConflictError, "the data of study 'quick' is not what it was"),
    ):
        with pytest.raises(error, match=re.escape(said)):
            tuner.resume("quick", add=5, settings=settings, workers=1)
        assert tuner.load("quick").spec == before
        assert tuner.load("quick").status().budget == 1
    done = command("resume", "quick", "--add", "1", "-S", "data.source=moved.csv", "--workers", "1", "-q")
    assert done.returncode == 0, done.stderr
    assert tuner.load("quick").status().done == 2
    assert tuner.keep("quick", trial=0).trials == [0]


def test_an_objective_may_start_processes_and_read_its_input() -> None:
    write("from multiprocessing import Pool; import sys; print(sys.stdin.read() == '', Pool(1).map(abs, [-1]))")
    text = (
        Path("mine.py")
        .read_text()
        .replace(
            "        return nn.Linear(3, 2)", "        print(Pool(1).map(abs, [-2]))\n        return nn.Linear(3, 2)"
        )
    )
    Path("mine.py").write_text(text.replace("import os", "from multiprocessing import Pool\nimport os", 1))
    done = command("start", "mine.py:Mine", "--trials", "1", "-S", "training.epochs=1", "--workers", "1", "-q")
    assert done.returncode == 0, done.stderr
    assert "True [1]\n" in done.stderr
    assert "[2]\n" in done.stderr
