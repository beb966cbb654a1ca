"""The view of a running study on stderr: live on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import click

from tuner.cli.curves import plot
from tuner.cli.progress import Snapshot, Tracker
from tuner.output import clock, params_line, printable, score

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, Group, RenderResult
    from rich.text import Text

    from tuner.results import Results

LINE_SECONDS = 10.0
"""A line of progress at least so often, where there is no terminal."""
_LEAST_LINE_SECONDS = 1.0
_PLOT_HEIGHT = 4
_ROWS_WITH_PLOTS = 16
"""A lower terminal shows no plots."""
LEAVING = "leaving: the workers put their trials down; Ctrl-C again leaves at once"


class View(Protocol):
    """Shows a study while it runs."""

    tracker: Tracker

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __call__(self, results: Results) -> None:
        """Take note of how the study stands."""

    def leave(self) -> None:
        """Tell that the run is being interrupted."""


def make_view(name: str, *, quiet: bool) -> View:
    """Return the view that fits stderr."""
    if quiet:
        return SilentView(name)
    if sys.stderr.isatty() and os.environ.get("TERM") not in {"dumb", "unknown"}:
        return LiveView(name)
    return PlainView(name)


class SilentView:
    """Shows nothing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tracker = Tracker()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def __call__(self, results: Results) -> None:
        self.tracker.results = results

    def leave(self) -> None:
        """Say nothing."""


class PlainView(SilentView):
    """Writes a line of progress every ten seconds and at each new best."""

    def __init__(self, name: str, *, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(name)
        self._now = now
        self._said = -math.inf
        self._best: int | None = None

    def __enter__(self) -> Self:
        click.echo(f"{self.name}: reading the data, starting the workers", err=True)
        self._said = self._now()
        return self

    def __call__(self, results: Results) -> None:
        snapshot = self.tracker.look(results)
        if snapshot is None:
            return
        best = snapshot.best[0].number if snapshot.best else None
        waited = self._now() - self._said
        if waited >= LINE_SECONDS or (best != self._best and waited >= _LEAST_LINE_SECONDS):
            self._said, self._best = self._now(), best
            click.echo(progress_line(snapshot), err=True)

    def leave(self) -> None:
        click.echo(LEAVING, err=True)


def progress_line(snapshot: Snapshot) -> str:
    """Return how the study stands in one line."""
    parts = [trials_line(snapshot), *counts(snapshot)]
    if snapshot.rate is not None:
        parts.append(f"{snapshot.rate:.0f} trials/min")
    if snapshot.best:
        parts.append(f"best {best_line(snapshot)}")
    if snapshot.left is not None:
        parts.append(f"{clock(snapshot.left)} left")
    return f"{snapshot.name}: {', '.join(parts)}"


def trials_line(snapshot: Snapshot) -> str:
    """Return ``12/100 trials``."""
    return f"{snapshot.done}/{snapshot.budget} trials" if snapshot.budget is not None else f"{snapshot.done} trials"


def counts(snapshot: Snapshot) -> list[str]:
    """Return ``4 running``, ``3 pruned``, … for what there is."""
    shown = ("running", "pruned", "diverged", "failed", "interrupted")
    return [f"{snapshot.counts[state]} {state}" for state in shown if snapshot.counts.get(state)]


def best_line(snapshot: Snapshot) -> str:
    """Return ``accuracy 0.9825 (trial 37)``, or of several metrics how many trials the front has."""
    if len(snapshot.metrics) > 1:
        values = ", ".join(f"{name} {score(value)}" for name, value in snapshot.best[0].values.items())
        return f"front of {len(snapshot.best)} trials: {values} (trial {snapshot.best[0].number})"
    best = snapshot.best[0]
    return f"{snapshot.metrics[0]} {score(best.values.get(snapshot.metrics[0]))} (trial {best.number})"


class LiveView(SilentView):
    """Redraws a few lines of the terminal, and takes them away at the end."""

    def __init__(self, name: str) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(name)
        self._snapshot: Snapshot | None = None
        self._leaving = False
        self._live = Live(
            get_renderable=lambda: Frame(self._snapshot, self),
            console=Console(stderr=True, highlight=False, markup=False, emoji=False),
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def __call__(self, results: Results) -> None:
        self._snapshot = self.tracker.look(results) or self._snapshot

    def leave(self) -> None:
        self._leaving = True

    @property
    def leaving(self) -> bool:
        """Whether the run is being interrupted."""
        return self._leaving


class Frame:
    """One picture of a running study, as rich draws it."""

    def __init__(self, snapshot: Snapshot | None, view: LiveView) -> None:
        self._snapshot = snapshot
        self._view = view

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        if self._snapshot is None:
            yield _ends(
                Text(printable(self._view.name), style="bold"),
                Text(f"reading the data, starting the workers  {clock(self._view.tracker.elapsed)}", style="dim"),
                options.max_width,
            )
        else:
            yield draw(
                self._snapshot, width=options.max_width, height=console.height, elapsed=self._view.tracker.elapsed
            )
        if self._view.leaving:
            yield Text(LEAVING, style="yellow")


def draw(snapshot: Snapshot, *, width: int, height: int, elapsed: float) -> Group:
    """Return the picture of a running study in so many columns and lines."""
    from rich.console import Group
    from rich.text import Text

    goal = ", ".join(f"{n} {'↑' if d == 'maximize' else '↓'}" for n, d in _goals(snapshot))
    workers = f"{snapshot.workers} worker{'s' if snapshot.workers != 1 else ''}"
    lines: list[Text | Group] = [
        _ends(
            Text.assemble((printable(snapshot.name), "bold"), ("  " + printable(goal), "dim")),
            Text(f"{workers}  {clock(elapsed)}", style="dim"),
            width,
        ),
        _progress(snapshot, width),
        _counts(snapshot),
    ]
    if snapshot.best:
        lines.append(Text.assemble(("best  ", "bold"), (printable(best_line(snapshot)), "green"), no_wrap=True))
        params = Text(printable(params_line(snapshot.best[0].params)), style="dim", overflow="ellipsis", no_wrap=True)
        params.truncate(width, overflow="ellipsis")
        lines.append(params)
    if height >= _ROWS_WITH_PLOTS and len(snapshot.history) > 1:
        lines.append(_plots(snapshot, width))
    return Group(*lines)


def _goals(snapshot: Snapshot) -> list[tuple[str, str]]:
    return list(zip(snapshot.metrics, snapshot.directions, strict=False))


def _ends(left: Text, right: Text, width: int) -> Text:
    """One line, its two parts at the two ends of it."""
    from rich.text import Text

    room = width - right.cell_len - 2
    left.truncate(max(8, room), overflow="ellipsis")
    line = Text(no_wrap=True, overflow="crop")
    line.append_text(left)
    line.append(" " * max(2, width - left.cell_len - right.cell_len))
    line.append_text(right)
    return line


def _progress(snapshot: Snapshot, width: int) -> Text:
    from rich.text import Text

    facts = trials_line(snapshot)
    if snapshot.rate is not None:
        facts += f"  {snapshot.rate:.0f}/min"
    if snapshot.left is not None:
        facts += f"  ~{clock(snapshot.left)} left"
    share = _share(snapshot)
    room = width - len(facts) - 2
    if share is None or room < 8:
        return Text(facts)
    full = round(share * room)
    return Text.assemble(("━" * full, "green"), ("─" * (room - full), "dim"), "  ", facts, no_wrap=True)


def _share(snapshot: Snapshot) -> float | None:
    """How much of the run is done, by trials or by time, whichever is nearer to its end."""
    shares = []
    if snapshot.budget:
        shares.append(snapshot.done / snapshot.budget)
    if snapshot.left is not None and snapshot.budget is None:
        shares.append(snapshot.elapsed / max(1e-9, snapshot.elapsed + snapshot.left))
    return min(1.0, max(shares)) if shares else None


_STYLES = {"running": "cyan", "finished": "green", "pruned": "yellow", "diverged": "magenta", "failed": "red"}


def _counts(snapshot: Snapshot) -> Text:
    from rich.text import Text

    text = Text(no_wrap=True)
    for state in ("running", "finished", "pruned", "diverged", "failed", "interrupted"):
        count = snapshot.counts.get(state, 0)
        if count or state in {"running", "finished", "pruned"}:
            text.append(f"{count}", style=_STYLES.get(state, ""))
            text.append(f" {state}   ", style="dim")
    text.rstrip()
    return text


def _plots(snapshot: Snapshot, width: int) -> Group:
    """The best so far over the trials and, beside it, the best trial's own curve."""
    from rich.console import Group
    from rich.text import Text

    pictures = [_plot("best so far, by trial", snapshot.history, (width - 4) // 2)]
    if len(snapshot.curve) > 1:
        pictures.append(_plot(f"trial {snapshot.best[0].number}, by epoch", snapshot.curve, (width - 4) // 2))
    lines = []
    for index, parts in enumerate(zip(*pictures, strict=True)):
        line = Text(no_wrap=True, style="dim" if index == 0 else "")
        for part in parts:
            line.append(part)
            line.append("    ")
        line.rstrip()
        lines.append(line)
    return Group(*lines)


def _without_first_steps(values: Sequence[float]) -> Sequence[float]:
    """What the scale is laid over: the first values are far off, and would press the rest to the edge."""
    return values[len(values) // 6 :]


def _plot(title: str, values: Sequence[float], width: int) -> list[str]:
    finite = [value for value in _without_first_steps(values) if math.isfinite(value)]
    lines = plot(
        [[min(max(value, min(finite)), max(finite)) for value in values]] if finite else [],
        width=max(4, width - 9),
        height=_PLOT_HEIGHT,
    )
    ends = {0: score(max(finite, default=None)), _PLOT_HEIGHT - 1: score(min(finite, default=None))}
    drawn = [f"{ends.get(index, ''):>8} {line}" for index, line in enumerate(lines)]
    drawn += [""] * (_PLOT_HEIGHT - len(drawn))
    return [line.ljust(width) for line in (f"{'':>8} {title}"[:width], *drawn)]
