from __future__ import annotations

import logging
import threading

import pytest

from tuner.workers import overtime
from tuner.workers.overtime import told_when_over


def test_an_epoch_that_goes_on_after_the_limit_is_told_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overtime, "GRACE_SECONDS", 0.0)
    told = threading.Event()

    def tell(note: str) -> None:
        logging.getLogger().warning(note)
        told.set()

    monkeypatch.setattr(overtime.notes, "info", tell)
    with told_when_over(5.0, {3: 1.0, 4: 5.0}):
        assert told.wait(timeout=60)
    assert caplog.messages == ["trial 4 is over its limit of 5 s; it ends with its epoch"]


@pytest.mark.parametrize("limit", [None, 1000.0])
def test_an_epoch_that_ends_in_time_leaves_nothing_behind(limit: float | None) -> None:
    before = threading.active_count()
    with told_when_over(limit, {0: 0.0}):
        assert threading.active_count() == before + (limit is not None)
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(timeout=60)
    assert threading.active_count() == before
