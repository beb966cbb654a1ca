"""Workers on the nodes of a real Ray cluster, one of which is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, cast

import pytest
import ray
from optuna.trial import TrialState

from tests.storage.databases import PostgreSQL, own_postgresql
from tests.tuner.workers.test_running import SLOW, wait_for
from tuner import study
from tuner.errors import TunerError, UsageError
from tuner.results import Results
from tuner.sources import read_spec
from tuner.workers import ray_cluster
from tuner.workers.departure import DEPARTURE_MARK, Departure
from tuner.workers.ray_cluster import RayCluster, plan_on_nodes

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[3]
TRIALS, EPOCHS = 6, 120
IMPATIENT = "from tuner.workers import ray_cluster as r; r.PATIENCE_SECONDS = 1; from tuner.cli import main; main()"
"""The command line, which soon says what a worker waits for."""

Node = dict[str, float]


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    with own_postgresql() as server:
        yield server


class Nodes:
    """The cluster of ``tests.tuner.workers.ray_nodes``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin: IO[str] = process.stdin
        self._stdout: IO[str] = process.stdout
        self.address = self._stdout.readline().strip()
        assert self.address

    def lose_one(self) -> None:
        self._stdin.write("lose\n")
        self._stdin.flush()
        assert self._stdout.readline() == "gone\n"


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.tuner.workers.ray_nodes", "2"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield Nodes(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=60)


Tuner = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def tuner(tmp_path: Path, server: PostgreSQL) -> Iterator[Tuner]:
    """Start a command of the tuner on the server; what is left of them is killed in the end."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", IMPATIENT, *arguments, "--storage", server.url]
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def load(server: PostgreSQL) -> Results | None:
    try:
        return study.load("iris", storage=server.url)
    except Exception:  # noqa: BLE001 - the study appears in a moment
        return None


def at_work(server: PostgreSQL) -> int:
    """How many trials are in training and have come to something."""
    results = load(server)
    if results is None:
        return 0
    return sum(bool(results.epochs(row.number)) for row in results.trials() if row.state == "running")


def check_all_done(server: PostgreSQL) -> None:
    results = load(server)
    assert results is not None
    trials = results.storage.get_all_trials(results.study_id)
    assert [trial.number for trial in trials] == list(range(TRIALS))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    for trial in trials:
        assert [epoch.epoch for epoch in results.epochs(trial.number)] == list(range(1, EPOCHS + 1))


SETTINGS = [part for setting in (*SLOW, f"training.epochs={EPOCHS}") for part in ("-S", setting)]


@pytest.mark.long
@pytest.mark.timeout(400)
def test_what_was_on_a_lost_node_is_continued_on_another(
    server: PostgreSQL, nodes: Nodes, tuner: Tuner, tmp_path: Path
) -> None:
    run = tuner("start", "iris", "--trials", str(TRIALS), "--ray", nodes.address, *SETTINGS, "-o", "json")
    wait_for(lambda: at_work(server) == 2)
    nodes.lose_one()
    printed, said = run.communicate(timeout=240)
    assert run.returncode == 0, said
    assert "is gone: " in said
    assert "another takes its place and continues its trials" in said
    assert json.loads(printed)["name"] == "iris"
    assert "Traceback" not in said
    check_all_done(server)
    assert {entry.name for entry in tmp_path.iterdir()} == {"tuner-checkpoints"}, "as of workers of this machine"


@pytest.mark.long
@pytest.mark.timeout(400)
def test_workers_wait_for_a_place_and_leave_when_asked(server: PostgreSQL, nodes: Nodes, tuner: Tuner) -> None:
    asked = ["--ray", nodes.address, "--workers", "3"]
    run = tuner("start", "iris", "--trials", str(TRIALS), *asked, *SETTINGS)
    wait_for(lambda: at_work(server) == 2)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130, said
    assert "`tuner resume iris" in said
    results = load(server)
    assert results is not None
    assert not results.storage.list_workers(results.study_id)
    assert results.storage.open_trials(results.study_id) == 0
    run = tuner("resume", "iris", *asked)
    printed, said = run.communicate(timeout=240)
    assert run.returncode == 0, said
    assert f"{TRIALS} of {TRIALS} trials done" in printed
    assert "Ray has no node yet with 1 CPU to spare" in said
    check_all_done(server)


class Fake:
    """Stands in for the module ``ray`` and for an actor that waits for a place until it is killed."""

    def __init__(self) -> None:
        self.exceptions = ray.exceptions
        self.killed = threading.Event()
        self.fate: Exception = ray.exceptions.ActorDiedError()

    def __getattr__(self, name: str) -> Fake:  # where, news, close, …
        return self

    def remote(self, *_: object) -> Fake:
        return self

    def wait(self, *_: object, timeout: float) -> tuple[list[object], list[object]]:
        return ([self], []) if self.killed.wait(timeout) else ([], [self])

    def get(self, *_: object) -> object:
        self.killed.wait()
        raise self.fate

    def kill(self, _: object) -> None:
        self.killed.set()


@contextmanager
def remote(fake: Fake) -> Iterator[ray_cluster._Remote]:
    """The process of the actor."""
    cluster = SimpleNamespace(dismiss_waiting=lambda _: None, waits_for=lambda: "waiting")
    process = ray_cluster._Remote(cast("ModuleType", fake), fake, cast("RayCluster", cluster))
    try:
        yield process
    finally:
        fake.killed.set()
        process._relay.join()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def last_line(process: ray_cluster._Remote) -> Departure:
    assert process.stdout is not None
    return Departure.from_json(process.stdout.read().strip("\n").split("\n")[-1].removeprefix(DEPARTURE_MARK))


@pytest.mark.parametrize("reason", ["time is up", "stopped"])
def test_who_waits_for_a_place_leaves_for_a_reason(reason: str) -> None:
    with remote(Fake()) as process:
        assert process.waits
        assert process.poll() is None
        process.dismiss(reason)
        assert process.wait() == 0
        assert last_line(process) == Departure(reason=reason)


def test_who_could_not_start_says_why() -> None:
    fake = Fake()
    fake.fate = ray.exceptions.RuntimeEnvSetupError("no such image")
    with remote(fake) as process:
        fake.killed.set()
        assert process.wait() == 1
        said = last_line(process)
        assert said.message.startswith("Ray could not start a worker: ")
        assert "no such image" in said.message


@pytest.mark.parametrize("fate", [ConnectionError("the client's server is gone"), MemoryError("too little memory")])
def test_who_was_lost_is_gone_for_what_ray_says(fate: Exception) -> None:
    fake = Fake()
    fake.fate = fate
    with remote(fake) as process:
        fake.killed.set()
        assert process.wait() == -signal.SIGKILL
        assert process.gone == f"is gone: {fate}"


def test_what_cannot_be_heard_any_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "LAST_WORD_SECONDS", 0.1)
    with remote(Fake()) as process:
        assert process.wait() == -signal.SIGKILL
        assert process.gone == "is gone: it did not say how it ended"


def test_the_last_words_of_a_newer_worker_are_understood() -> None:
    words = json.dumps({"reason": "budget spent", "of_a_later_version": 1})
    assert Departure.from_json(words) == Departure(reason="budget spent")


@pytest.mark.parametrize("address", ["", "local", "somewhere", "http://head:10001", "head:port"])
def test_what_is_no_address_of_a_cluster_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="write auto, HOST:PORT or ray://HOST:PORT"):
        RayCluster(address, "postgresql://db/tuner")


def test_more_trials_are_not_added_where_no_worker_can_run(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'tuner.db'}"
    study.create(read_spec("iris", changes={"budget.trials": 4})[0], storage=url)
    with pytest.raises(UsageError, match="cannot share the file"):
        study.resume("iris", add=10, ray="auto", storage=url)
    with pytest.raises(UsageError, match="--workers 0"):
        study.resume("iris", add=10, workers=0, storage=url)
    assert study.load("iris", storage=url).status().budget == 4


def test_a_file_is_no_storage_for_a_cluster() -> None:
    with pytest.raises(UsageError, match=r"cannot share the file sqlite:///tuner.db; name a database"):
        RayCluster("auto", "sqlite:///tuner.db")


def test_a_cluster_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "HEALTH_SECONDS", 3.0)
    with pytest.raises(TunerError, match=r"--ray 127.0.0.1:1: no cluster answers: no answer within 3 s"):
        RayCluster("127.0.0.1:1", "postgresql://db/tuner")


def test_where_ray_is_not_installed_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="pip install ray"):
        RayCluster("auto", "postgresql://db/tuner")


@pytest.mark.parametrize(
    ("nodes", "workers", "device", "expected"),
    [
        ([{"CPU": 4}, {"CPU": 2}], None, "auto", [("cpu", 1)] * 6),
        ([{"CPU": 4}, {"CPU": 4}], 2, "auto", [("cpu", 4)] * 2),
        ([{"CPU": 4}, {"CPU": 4}], 3, "auto", [("cpu", 2)] * 3),
        ([{"CPU": 8}, {}], 1, "cpu", [("cpu", 8)]),
        ([{"CPU": 2}], 5, "auto", [("cpu", 1)] * 5),
        ([{"CPU": 8, "GPU": 2}, {"CPU": 64}], None, "auto", [("cuda:0", 4)] * 2),
        ([{"CPU": 8, "GPU": 2}], 4, "cuda", [("cuda:0", 2)] * 4),
        ([{"CPU": 8, "GPU": 1}, {"CPU": 8, "GPU": 1}], 3, "cuda", [("cuda:0", 4)] * 3),
        ([{"CPU": 8, "GPU": 2}], 2, "cpu", [("cpu", 4)] * 2),
        ([{}], None, "auto", [("cpu", 1)]),
        ([{"CPU": 4}], 3, "cuda", [("cuda:0", 1)] * 3),
    ],
)
def test_every_worker_finds_a_place(nodes: list[Node], workers: int | None, device: str, expected: object) -> None:
    assert plan_on_nodes(nodes, workers=workers, trials=100, device=device) == expected


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_that_no_node_has_is_refused(device: str) -> None:
    with pytest.raises(UsageError, match=r"\[training\] device"):
        plan_on_nodes([{"CPU": 2}], workers=None, trials=None, device=device)


def test_rays_reason_is_its_last_line_that_is_no_detail() -> None:
    error = RuntimeError("The actor died.\n\tname: Host\nThe node has died. Node Id: 81cd\n\tdetail: 1\n")
    assert ray_cluster._reason(error) == "The node has died. Node Id: 81cd"
