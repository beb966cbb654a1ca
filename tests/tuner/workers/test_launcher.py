from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator

import pytest

from tuner.workers import worker_process
from tuner.workers.departure import NOTE_MARK
from tuner.workers.launcher import Launcher
from tuner.workers.processes import Spawned


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
    launcher = Launcher([], on_loss=lambda *_: None, ended=lambda: 0, processes=Spawned(0, 1))
    with caplog.at_level(logging.INFO, logger="tuner.notes"):
        for note in ("Net is trained alone", "Net is trained alone", "Other is trained alone"):
            launcher._tell(note)
    assert caplog.messages == ["Net is trained alone", "Other is trained alone"]
