from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tuner.cli.failures import Terminated
from tuner.cli.signals import interruptible


@pytest.fixture
def _as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_as_before")
def test_a_hang_up_that_nohup_lets_us_ignore_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interruptible(lambda: None):
        os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with pytest.raises(Terminated), interruptible(lambda: None):
        os.kill(os.getpid(), signal.SIGHUP)


@pytest.mark.usefixtures("_as_before")
def test_a_background_job_hears_ctrl_c_though_it_was_born_without_it() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with pytest.raises(KeyboardInterrupt), interruptible(lambda: None):
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
