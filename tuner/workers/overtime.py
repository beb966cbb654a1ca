"""Telling that trials are over their time while their epoch, which nobody interrupts, still runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

notes = logging.getLogger("tuner.notes")

GRACE_SECONDS = 2.0
"""An epoch that ends so soon after the limit is not worth a word."""


@contextmanager
def told_when_over(limit: float | None, spent: Mapping[int, float]) -> Iterator[None]:
    """Say so if an epoch inside goes on after trials have trained for ``limit`` seconds.

    ``spent`` has the seconds of each trial's earlier epochs by number; those of this one are shared between them.
    """
    if limit is None or not spent:
        yield
        return
    number = max(spent, key=lambda number: spent[number])
    left = max(0.0, limit - spent[number]) * len(spent)
    said = f"trial {number} is over its limit of {limit:g} s; it ends with its epoch"
    timer = threading.Timer(left + GRACE_SECONDS, notes.info, [said])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
