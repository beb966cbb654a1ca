from __future__ import annotations

import logging
import signal
from collections.abc import Iterator

import pytest

LOGGERS = ("tuner", "tuner.notes", "storage", "objectives")


def pytest_configure() -> None:
    """Processes that tests start heed Ctrl-C and a hang-up, also where the tests run under nohup or behind &."""
    for number, heeded in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, heeded)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests that take minutes begin first, lest the others wait for them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(autouse=True)
def loggers_as_they_were() -> Iterator[None]:
    """A command that runs in this process sets up where it writes to; the next test finds nothing of it."""
    kept = [(logging.getLogger(name), list(logging.getLogger(name).handlers)) for name in LOGGERS]
    settings = [(logger.level, logger.propagate) for logger, _ in kept]
    yield
    for (logger, handlers), (level, propagate) in zip(kept, settings, strict=True):
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate
