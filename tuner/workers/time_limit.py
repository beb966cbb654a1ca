"""A limit on how long a call may take, for code whose loop is not ours."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TimedOutError(BaseException):
    """The time is up. No ``except Exception`` of the code that runs catches it."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Interrupt what runs inside after so many seconds, ``None`` for never. For the main thread only.

    Python code is interrupted where it stands, a call into a library once it returns.

    Raises:
        TimedOutError: when the time is up.
    """
    if seconds is None:
        yield
        return

    def interrupt(_: int, __: FrameType | None) -> None:
        raise TimedOutError

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
