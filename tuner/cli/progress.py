"""What a running study looks like right now, worked out from its results."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tuner.cli.curves import running_best

if TYPE_CHECKING:
    from tuner.results import Results, TrialRow

RATE_SECONDS = 60.0
"""Over how long the rate of trials is taken."""
SLOW_RATE = 6.0
"""At fewer trials a minute one likes to see how far they are."""
_LEAST_TRIALS = 2
"""A rate of fewer trials is none."""
_SHARE = 0.05
"""The most of its time that this process may spend on looking: the cores are the workers'."""
_LEAST_PAUSE = 0.5
"""Seconds between two looks."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A running study at one moment."""

    name: str
    metrics: Sequence[str]
    directions: Sequence[str]
    counts: Mapping[str, int]
    done: int
    budget: int | None
    workers: int
    elapsed: float
    """Seconds since this run began."""
    rate: float | None
    """Trials a minute."""
    left: float | None
    """Seconds until the budget is spent, as far as one can tell."""
    best: Sequence[TrialRow]
    history: Sequence[float] = field(default=())
    """The best first metric after each finished trial."""
    curve: Sequence[float] = field(default=())
    """The first metric of the best trial by epoch."""
    amid: Amid | None = None
    """Where trials take long: how far one of them is."""


@dataclass(frozen=True, kw_only=True)
class Amid:
    """A trial amid its training."""

    number: int
    epoch: int
    """Epochs that are done."""
    epochs: int
    """Those that it is to have, at most."""
    value: float
    """The first metric after the last one."""


class Tracker:
    """Looks at a running study, often enough for a person and seldom enough for its workers."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._next = 0.0
        self._done: deque[tuple[float, int]] = deque()
        self._curve: tuple[int, list[float]] = (-1, [])
        self.results: Results | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._began

    def look(self, results: Results, *, at_once: bool = False) -> Snapshot | None:
        """Return a snapshot; ``None`` when the last look was a moment ago, unless ``at_once``."""
        self.results = results
        began = self._clock()
        if began < self._next and not at_once:
            return None
        snapshot = self._look(results, began)
        spent = self._clock() - began
        self._next = began + max(_LEAST_PAUSE, spent / _SHARE)
        return snapshot

    def _look(self, results: Results, now: float) -> Snapshot:
        rows = results.trials()  # read once: the cores are the workers'
        status = results.status(rows)
        rate = self._rate(now, status.done, status.counts["running"])
        maximize = results.directions[0] == "maximize"
        first = results.metric_names[0]
        values = [row.values[first] for row in rows if row.state == "finished" and row.feasible]
        return Snapshot(
            name=results.name,
            metrics=results.metric_names,
            directions=results.directions,
            counts=status.counts,
            done=status.done,
            budget=status.budget,
            workers=status.workers,
            elapsed=now - self._began,
            rate=rate,
            left=self._left(results, rate, status.budget, status.done),
            best=status.best,
            history=running_best(values, maximize=maximize),
            curve=self._best_curve(results, status.best),
            amid=_amid(results, rows) if status.counts["running"] and (rate is None or rate < SLOW_RATE) else None,
        )

    def _rate(self, now: float, done: int, running: int) -> float | None:
        """The rate of the last minute; the time in which workers start does not count."""
        if not self._done and not running:
            return None
        self._done.append((now, done))
        while len(self._done) > 2 and self._done[1][0] < now - RATE_SECONDS:
            self._done.popleft()
        (then, before) = self._done[0]
        known = now > then and done - before >= _LEAST_TRIALS
        return (done - before) / (now - then) * 60 if known else None

    def _left(self, results: Results, rate: float | None, budget: int | None, done: int) -> float | None:
        by_trials = (budget - done) / rate * 60 if budget is not None and rate else None
        timeout = results.spec.budget.timeout if results.spec is not None else None
        by_time = max(0.0, timeout - self.elapsed) if timeout is not None else None
        known = [left for left in (by_trials, by_time) if left is not None]
        return min(known) if known else None

    def _best_curve(self, results: Results, best: Sequence[TrialRow]) -> list[float]:
        """The curve of the best trial, read once for each new best."""
        if not best:
            return []
        number, curve = self._curve
        if best[0].number != number:
            name = results.metric_names[0]
            number = best[0].number
            curve = [epoch.scores[name] for epoch in results.epochs(number) if name in epoch.scores]
            self._curve = (number, curve)
        return curve


def _amid(results: Results, rows: Sequence[TrialRow]) -> Amid | None:
    """Return how far the first running trial is, once it has finished an epoch."""
    if results.spec is None:
        return None
    name = results.metric_names[0]
    for row in (row for row in rows if row.state == "running"):
        done = results.epochs(row.number)
        if done and {"training_loss", name} <= done[-1].scores.keys():
            epochs = results.spec.training.epochs
            return Amid(number=row.number, epoch=done[-1].epoch, epochs=epochs, value=done[-1].scores[name])
    return None
