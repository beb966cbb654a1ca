"""Workers that are killed, stopped, many, or cut off from their database lose nothing and count nothing twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

import storage as st
from tests.storage import databases
from tests.storage.fake_worker import curve

EPOCHS = 8
ROOT = Path(__file__).parents[2]


class Fleet:
    """Worker processes of one study."""

    def __init__(self, url: str, study_id: int, *options: str) -> None:
        self.command = [sys.executable, "-m", "tests.storage.fake_worker", url, str(study_id), *options]
        self.running: list[subprocess.Popen[str]] = []
        self.ended: list[subprocess.Popen[str]] = []

    def start(self, count: int) -> None:
        for _ in range(count):
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            process = subprocess.Popen(
                self.command, cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            self.running.append(process)

    def kill_one(self, rng: random.Random) -> None:
        victim = rng.choice(self.running)
        victim.kill()
        self._bury(victim)

    def wait(self) -> list[int]:
        """Wait for all; return the exit codes of those that were not killed."""
        while self.running:
            self._bury(self.running[0])
        return [process.returncode for process in self.ended if process.returncode != -signal.SIGKILL]

    def all_ended(self) -> bool:
        return all(process.poll() is not None for process in self.running)

    def _bury(self, process: subprocess.Popen[str]) -> None:
        process.communicate()
        self.running.remove(process)
        self.ended.append(process)


@pytest.fixture
def fleets() -> Iterator[Callable[..., Fleet]]:
    made: list[Fleet] = []

    def make(url: str, study_id: int, *options: str) -> Fleet:
        made.append(Fleet(url, study_id, *options))
        return made[-1]

    yield make
    for fleet in made:
        for process in fleet.running:
            process.kill()
        fleet.wait()


def _study(url: str, trials: int) -> tuple[st.SQLStorage, int]:
    storage = st.open_storage(url)
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "torture")
    storage.set_budget(study_id, trials)
    return storage, study_id


def _check(storage: st.SQLStorage, study_id: int, trials: int, epochs: int = EPOCHS) -> None:
    seen = storage.get_all_trials(study_id)
    assert [trial.number for trial in seen] == list(range(trials))
    assert {trial.state for trial in seen} == {TrialState.COMPLETE}
    for trial in seen:
        expected = curve(trial.number, epochs)
        assert trial.intermediate_values == expected, trial.number
        assert trial.value == expected[epochs - 1]
        assert storage.epochs(trial._trial_id) == [(e, {"training_loss": v}) for e, v in expected.items()]
    assert storage.open_trials(study_id) == 0


@pytest.fixture(params=["sqlite", "postgresql"])
def big_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/trials.db"
        return
    with databases.new_database(request.getfixturevalue("postgresql_server")) as url:
        yield url


def _torture(fleet: Fleet, storage: st.SQLStorage, study_id: int, trials: int, seconds: float) -> int:
    """Kill a random worker every so often and replace it until all trials are done; return how many died."""
    rng = random.Random(0)
    fleet.start(4)
    killed = done = 0
    while done < trials:
        time.sleep(seconds)  # the rhythm of the killing, not a wait for anything
        before, done = done, storage.get_n_trials(study_id, TrialState.COMPLETE)
        if done > before and not fleet.all_ended():  # on a busy machine a worker needs time to get anywhere
            fleet.kill_one(rng)
            fleet.start(1)
            killed += 1
    assert set(fleet.wait()) <= {0}
    return killed


def test_killed_workers_lose_nothing(big_url: str, fleets: Callable[..., Fleet], tmp_path: Path) -> None:
    storage, study_id = _study(big_url, 200)
    options = ("--checkpoints", str(tmp_path / "c"), "--lease", "1.5", "--seconds", "0.04")
    killed = _torture(fleets(big_url, study_id, *options), storage, study_id, 200, 1.0)
    assert killed > 3
    _check(storage, study_id, 200)
    storage.close()


def test_a_server_that_restarts_twice_among_killed_workers_loses_nothing(
    fleets: Callable[..., Fleet], tmp_path: Path
) -> None:
    with databases.own_postgresql() as server:
        storage, study_id = _study(server.url, 200)
        fleet = fleets(server.url, study_id, "--checkpoints", str(tmp_path / "c"), "--lease", "3", "--seconds", "0.04")
        rng = random.Random(0)
        fleet.start(4)
        done = 0
        for many in (40, 120):
            while done < many:
                time.sleep(0.5)
                before, done = done, storage.get_n_trials(study_id, TrialState.COMPLETE)
                if done > before:
                    fleet.kill_one(rng)
                    fleet.start(1)
            server.stop()
            server.start()
        while storage.get_n_trials(study_id, TrialState.COMPLETE) < 200:
            time.sleep(0.2)
        assert set(fleet.wait()) <= {0}
        _check(storage, study_id, 200)
        storage.close()


def test_a_worker_that_was_stopped_past_its_lease_writes_nothing(
    big_url: str, fleets: Callable[..., Fleet], tmp_path: Path
) -> None:
    storage, study_id = _study(big_url, 4)
    fleet = fleets(big_url, study_id, "--cohort", "4", "--lease", "0.8", "--seconds", "0.3", "--go")
    fleet.start(1)
    (late,) = fleet.running
    assert late.stdin is not None
    late.stdin.write("go\n")
    late.stdin.flush()
    while not any(t.intermediate_values for t in storage.get_all_trials(study_id)):
        time.sleep(0.01)
    late.send_signal(signal.SIGSTOP)
    heir = st.open_storage(big_url)
    taken: list[st.Claim] = []
    while len(taken) < 4:
        taken += heir.claim(study_id, 4)
    assert all(claim.resumed for claim in taken)
    with heir.batch():
        for claim in taken:
            heir.rewind(claim.trial_id, None)
            heir.set_trial_intermediate_value(claim.trial_id, 0, 42.0)
    late.send_signal(signal.SIGCONT)
    with heir.keep_alive():
        time.sleep(1.5)  # five of its epochs: time enough to try
        assert late.poll() is None  # it waits for trials to come free
        seen = st.open_storage(big_url, create=False)
        for trial in seen.get_all_trials(study_id):
            assert trial.state is TrialState.RUNNING
            assert trial.intermediate_values == {0: 42.0}
        seen.close()
        with heir.batch():
            for claim in taken:
                heir.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [42.0])
    assert fleet.wait() == [0]
    assert [t.value for t in storage.get_all_trials(study_id)] == [42.0] * 4
    heir.close()
    storage.close()


@pytest.mark.parametrize(("kind", "processes"), [("sqlite", 16), ("postgresql", 64)])
def test_many_processes_work_on_two_thousand_short_trials(
    kind: str,
    processes: int,
    request: pytest.FixtureRequest,
    fleets: Callable[..., Fleet],
    tmp_path: Path,
) -> None:
    trials = int(os.environ.get("TUNER_TEST_SHORT_TRIALS", "400"))
    workers = processes if trials >= 2000 else processes // 4
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path}/trials.db"
        if kind == "postgresql":
            url = stack.enter_context(databases.new_database(request.getfixturevalue("postgresql_server")))
        storage, study_id = _study(url, trials)
        fleet = fleets(url, study_id, "--cohort", "2", "--epochs", "3", "--go")
        fleet.start(workers)
        for process in fleet.running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in fleet.running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert fleet.wait() == [0] * workers
        _check(storage, study_id, trials, 3)
        storage.close()
