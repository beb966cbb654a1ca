"""Studies run by real processes, some of which are really killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage import machine, open_storage
from tests.tuner import studies
from tuner import attributes, study
from tuner.errors import ObjectiveError, TunerError, UsageError
from tuner.results import Results
from tuner.workers.planning import Machine, plan_workers
from tuner.workers.running import free_the_dead

EPOCHS = 250
SLOW = [f"training.epochs={EPOCHS}", "training.early_stopping.patience=0", "search.pruner=none", "space.batch_size=4"]
"""Settings that make a trial of iris last a second or more."""


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'tuner.db'}"


def wait_for(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@contextmanager
def started(folder: Path, trials: int, workers: int, storage: str | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that starts a slow study of iris; it is killed if it outlives the block."""
    code = (
        f"from tuner import study; study.start('iris', trials={trials}, workers={workers}, "
        f"settings={SLOW!r}, storage={storage or url(folder)!r})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], text=True, stderr=subprocess.PIPE, cwd=folder, start_new_session=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def opened(storage: str) -> Results | None:
    try:
        return study.load("iris", storage=storage)
    except Exception:  # noqa: BLE001 - the study appears in a moment
        return None


def running(storage: str, trials: int) -> Results:
    """Wait until so many trials are being trained and have reported epochs."""

    def begun() -> bool:
        results = opened(storage)
        if results is None:
            return False
        rows = [row for row in results.trials() if row.state == "running"]
        return len(rows) >= trials and all(results.epochs(row.number) for row in rows)

    wait_for(begun)
    results = opened(storage)
    assert results is not None
    return results


def check_complete(results: Results, trials: int) -> None:
    """Exactly so many trials, each with every epoch exactly once."""
    rows = results.trials()
    assert [row.number for row in rows] == list(range(trials))
    assert {row.state for row in rows} == {"finished"}
    for row in rows:
        assert [epoch.epoch for epoch in results.epochs(row.number)] == list(range(1, EPOCHS + 1))


def test_a_killed_worker_is_replaced_and_its_trial_continued(tmp_path: Path) -> None:
    with started(tmp_path, 3, 2) as process:
        results = running(url(tmp_path), 2)
        victim = results.storage.list_workers(results.study_id)[0].pid
        os.kill(victim, signal.SIGKILL)
        assert process.wait(timeout=120) == 0
        assert process.stderr is not None
        assert "was killed by signal 9" in process.stderr.read()
    check_complete(results, 3)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_study_whose_launcher_ends_leaves_nothing_behind_and_is_resumed(tmp_path: Path, number: int) -> None:
    with started(tmp_path, 3, 2) as process:
        results = running(url(tmp_path), 2)
        process.send_signal(number)
        process.wait(timeout=60)
        wait_for(lambda: not results.storage.list_workers(results.study_id), 60)
        assert results.status().counts["interrupted"] == 2
    check_complete(study.resume("iris", workers=2, storage=url(tmp_path)), 3)


def test_a_terminal_that_is_closed_costs_no_epoch(tmp_path: Path) -> None:
    with started(tmp_path, 1, 1) as process:
        results = running(url(tmp_path), 1)
        os.killpg(process.pid, signal.SIGHUP)
        wait_for(lambda: not results.storage.list_workers(results.study_id), 30)
    newest, *_ = results.storage.study_checkpoints(results.study_id)
    assert newest.epoch == results.epochs(0)[-1].epoch
    assert results.status().counts["interrupted"] == 1


CRASHING = """
import os, signal

def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    if trial.number == 1:
        os.kill(os.getpid(), signal.SIGSEGV)
    return x
"""


def test_a_trial_that_takes_its_workers_with_it_is_told_as_lost_and_the_study_goes_on(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(CRASHING)
    results = study.start(f"{tmp_path / 'own.py'}:objective", trials=5, workers=2, storage=url(tmp_path))
    assert [row.state for row in results.trials()] == ["finished", "failed", "finished", "finished", "finished"]
    failure = results.trial(1).attributes[attributes.FAILURE]
    assert failure["class"] == attributes.LOST
    assert failure["reason"] == "3 workers in a row died with it; the last was killed by signal 11 (SIGSEGV)"


def test_an_objective_that_always_takes_its_worker_with_it_ends_the_study(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("import os\n\ndef objective(trial):\n    os._exit(3)\n")
    with pytest.raises(TunerError, match=r"the same way in every trial so far: 3 workers .* exit code 3"):
        study.start(f"{tmp_path / 'own.py'}:objective", trials=20, workers=1, storage=url(tmp_path))


FATAL = """
import os

import torch
from torch import nn

from tuner import Trainable
from tuner.training import CrossEntropy, Dataset, Part


class Fatal(Trainable):
    def load(self):
        part = Part(inputs=(torch.eye(8),), targets=torch.arange(8) % 2)
        return Dataset(training=part, validation=part)

    def network(self, params):
        if params["learning_rate"] > 0.05:
            os._exit(7)
        return nn.Linear(8, 2)

    def loss(self, params):
        return CrossEntropy()
"""


@pytest.mark.parametrize("cohort", [None, 8])
def test_a_network_that_takes_its_worker_with_it_costs_no_other_trial(tmp_path: Path, cohort: int | None) -> None:
    (tmp_path / "own.py").write_text(FATAL)
    settings = ["training.epochs=1", "search.sampler=random", "space.learning_rate=1e-3..0.06"]
    settings += [f"training.cohort={cohort}"] if cohort else []
    name = f"{tmp_path / 'own.py'}:Fatal"
    results = study.start(name, trials=16, workers=1, settings=settings, storage=url(tmp_path))
    rows = results.trials()
    fatal = {row.number for row in rows if row.state == "failed"}
    assert 0 < len(fatal) < 16
    assert all(row.params["learning_rate"] <= 0.05 for row in rows if row.number not in fatal)
    reason = "3 workers in a row died with it; the last ended with exit code 7"
    assert {row.attributes[attributes.FAILURE]["reason"] for row in rows if row.number in fatal} == {reason}


def test_an_objective_that_interrupts_itself_interrupts_the_study(tmp_path: Path) -> None:
    code = "def objective(trial):\n    if trial.number == 2:\n        raise KeyboardInterrupt\n    return 1.0\n"
    (tmp_path / "own.py").write_text(code)
    with pytest.raises(KeyboardInterrupt):
        study.start(f"{tmp_path / 'own.py'}:objective", trials=5, workers=1, storage=url(tmp_path))
    results = study.load("own", storage=url(tmp_path))
    assert [row.state for row in results.trials()] == ["finished", "finished", "interrupted"]
    assert results.status().stopped == "interrupted"


def test_everything_killed_at_once_is_resumed(tmp_path: Path) -> None:
    with started(tmp_path, 3, 2) as process:
        results = running(url(tmp_path), 2)
        workers = results.storage.list_workers(results.study_id)
        for pid in (process.pid, *(worker.pid for worker in workers)):
            os.kill(pid, signal.SIGKILL)
    check_complete(study.resume("iris", workers=2, storage=url(tmp_path)), 3)


def test_a_budget_that_is_raised_goes_on_where_it_ended(tmp_path: Path) -> None:
    quick = ["training.epochs=2", "search.pruner=none"]
    results = study.start("iris", settings=quick, trials=3, workers=2, storage=url(tmp_path))
    assert results.status().stopped == "budget spent"
    results = study.resume("iris", add=2, workers=2, storage=url(tmp_path))
    assert [row.number for row in results.trials()] == list(range(5))
    assert results.status().budget == 5


def test_an_objective_that_always_fails_shows_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def objective(trial):\n    return 1 / 0\n")
    with pytest.raises(ObjectiveError, match="ZeroDivisionError") as caught:
        study.start(f"{tmp_path / 'own.py'}:objective", trials=20, workers=1, storage=url(tmp_path))
    assert "return 1 / 0" in caught.value.traceback


@pytest.mark.parametrize(
    ("machine", "workers", "trials", "device", "plan"),
    [
        (Machine(cores=8, gpus=0), None, 100, "auto", [("cpu", 1)] * 8),
        (Machine(cores=8, gpus=0), 2, 100, "auto", [("cpu", 4)] * 2),
        (Machine(cores=8, gpus=0), None, 3, "auto", [("cpu", 2)] * 3),
        (Machine(cores=8, gpus=2), None, 100, "auto", [("cuda:0", 4), ("cuda:1", 4)]),
        (Machine(cores=8, gpus=2), 3, 100, "cuda", [("cuda:0", 2), ("cuda:1", 2), ("cuda:0", 2)]),
        (Machine(cores=8, gpus=2), None, 100, "cuda:1", [("cuda:1", 8)]),
        (Machine(cores=2, gpus=1), 4, None, "cpu", [("cpu", 1)] * 4),
    ],
)
def test_workers_share_cores_and_devices(
    machine: Machine, workers: int | None, trials: int | None, device: str, plan: list[tuple[str, int]]
) -> None:
    assert plan_workers(machine, workers=workers, trials=trials, device=device) == plan


@pytest.mark.parametrize(("workers", "device"), [(0, "auto"), (-1, "cpu"), (1, "cuda"), (1, "cuda:0"), (1, "gpu")])
def test_an_impossible_plan_is_refused(workers: int, device: str) -> None:
    with pytest.raises(UsageError):
        plan_workers(Machine(cores=2, gpus=0), workers=workers, trials=None, device=device)


def test_a_device_that_torch_does_not_know_is_refused_with_those_that_may_be_written() -> None:
    with pytest.raises(UsageError, match=r"device = 'cuda:x': there is no such device here; write auto, cpu, cuda or"):
        plan_workers(Machine(cores=2, gpus=1), workers=None, trials=None, device="cuda:x")


def test_a_worker_of_another_container_is_not_taken_for_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = studies.create(tmp_path)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for place in (machine.here(), "another machine"):
        other = open_storage(results.storage.safe_url)
        with monkeypatch.context() as patched:
            patched.setattr(machine, "here", lambda place=place: place)
            patched.setattr(os, "getpid", lambda: ended.pid)
            other.register_worker(results.study_id, name=place)
        assert len(other.claim(results.study_id, 1)) == 1
    free_the_dead(results)
    assert [worker.name for worker in results.storage.list_workers(results.study_id)] == ["another machine"]
    assert results.storage.open_trials(results.study_id) == 1
