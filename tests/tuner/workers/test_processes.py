"""Where worker processes come from; the processes are real."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.tuner.workers.test_running import url
from tuner import study
from tuner.workers import processes
from tuner.workers.departure import DEPARTURE_MARK
from tuner.workers.processes import Nursery, Process, Spawned


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nursery need not import what takes seconds; a worker does so itself."""
    monkeypatch.setattr(processes, "NEEDED", ())


def leave(process: Process) -> str:
    """Let a process that was told nothing leave; return what it says."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.close()
    said = process.stdout.read()
    assert process.stderr.read() == ""
    process.stdout.close()
    process.stderr.close()
    return said


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_a_nursery_that_was_killed_is_replaced_and_its_children_live_on() -> None:
    with Nursery(1, ["json"]) as nursery:
        first = nursery.take()
        os.kill(nursery._parent._process.pid, signal.SIGKILL)
        nursery._parent._process.wait()
        second = nursery.take()
        assert first.pid != second.pid
        assert first.poll() is second.poll() is None
        first.kill()
        second.kill()
        assert first.wait() == second.wait() == -signal.SIGKILL
        assert leave(first) == leave(second) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_a_question_that_was_interrupted_before_its_answer_confuses_nobody() -> None:
    with Nursery(1, ["json"]) as nursery:
        process = nursery.take()
        assert isinstance(process, processes._Forked)
        unheard = f"0 {process.pid}".encode()
        nursery._parent._channel.send(unheard)
        assert process.poll() is None
        assert "interrupted" in leave(process)
        while process._parent.ended(process.pid) is None:
            nursery._parent._channel.send(unheard)
        nursery._parent._channel.send(unheard)
        assert process.wait() == 0
        assert "interrupted" in leave(nursery.take())


@pytest.mark.parametrize("kind", ["forked", "spawned"])
def test_a_worker_that_nobody_needs_leaves_when_its_input_ends(kind: str) -> None:
    if kind == "forked" and sys.platform != "linux":
        pytest.skip("workers are forked on Linux only")
    with Nursery(1, ()) if kind == "forked" else Spawned(0, 1) as source:
        process = source.take()
        assert DEPARTURE_MARK + '{"reason": "interrupted"' in leave(process)
        assert process.wait() == 0


RANDOM = """
import random
import time

import numpy as np


def objective(trial):
    trial.set_user_attr("numpy", np.random.random())
    trial.set_user_attr("python", random.random())
    time.sleep(0.3)
    return trial.suggest_float("x", 0, 1)
"""


def test_workers_draw_different_numbers_where_an_objective_does_not_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "NEEDED", ("numpy.random", "random"))
    (tmp_path / "own.py").write_text(RANDOM)
    results = study.start(f"{tmp_path / 'own.py'}:objective", trials=4, workers=2, storage=url(tmp_path))
    for name in ("numpy", "python"):
        assert len({row.attributes[name] for row in results.trials()}) == 4
