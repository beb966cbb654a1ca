"""Signals that end a run: they become exceptions, so that everything is put away before the process ends."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tuner.cli.failures import Terminated

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals by which somebody other than Ctrl-C ends a process."""


@contextmanager
def interruptible(tell: Callable[[], None]) -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C and Terminated on SIGTERM and SIGHUP, after calling ``tell`` the first time.

    Further SIGTERMs are ignored while the run is put away; another Ctrl-C is not. A signal that whoever started us has
    let us ignore (``nohup``) stays ignored, but for Ctrl-C: a shell script's background jobs are born without it.
    """
    told = False

    def on_signal(number: int, _: FrameType | None) -> None:
        nonlocal told
        first, told = not told, True
        if first:
            tell()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        if first:
            raise Terminated(number)

    heeded = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, *heeded)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
