from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tuner.workers.test_running import url
from tuner import study
from tuner.workers import launcher, worker_process
from tuner.workers.departure import NOTE_MARK
from tuner.workers.launcher import Launcher
from tuner.workers.processes import Spawned

THREADED = """
import threading
import time


def objective(trial):
    threading.Thread(target=time.sleep, args=(3600,)).start()
    return trial.suggest_float("x", 0, 1)
"""


@pytest.fixture
def from_a_worker() -> Iterator[int]:
    """The writing end of a pipe that stands for a worker's output."""
    reading, writing = os.pipe()
    yield writing
    os.close(writing)
    with os.fdopen(reading) as lines:
        assert lines.read().split("\n") == ["", NOTE_MARK + json.dumps("it is so: ‘so’\nand so"), ""]


def test_a_note_leaves_a_worker_as_one_line(from_a_worker: int) -> None:
    handler = worker_process._NotesToLauncher(from_a_worker)
    handler.handle(logging.LogRecord("tuner.notes", logging.INFO, "", 0, "it is so: %s", ("‘so’\nand so",), None))


def test_what_several_workers_notice_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    one = Launcher([], on_loss=lambda *_: None, ended=lambda: 0, processes=Spawned(0, 1))
    with caplog.at_level(logging.INFO, logger="tuner.notes"):
        for note in ("Net is trained alone", "Net is trained alone", "Other is trained alone"):
            one._tell(note)
    assert caplog.messages == ["Net is trained alone", "Other is trained alone"]


def test_a_thread_that_an_objective_leaves_running_does_not_keep_its_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "LINGER_SECONDS", 0.5)
    (tmp_path / "own.py").write_text(THREADED)
    results = study.start(f"{tmp_path / 'own.py'}:objective", trials=2, workers=1, storage=url(tmp_path))
    assert results.status().counts["finished"] == 2
    assert results.status().stopped == "budget spent"
