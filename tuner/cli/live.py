"""The view of a running study on stderr: live on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import click

from tuner.cli.frame import draw, ends, progress_line
from tuner.cli.progress import Snapshot, Tracker
from tuner.output import clock, printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from tuner.results import Results

LINE_SECONDS = 10.0
"""A line of progress at least so often, where there is no terminal."""
_LEAST_LINE_SECONDS = 1.0
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
        if self.tracker.results is not None:
            click.echo(LEAVING, err=True)


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
            yield ends(
                Text(printable(self._view.name), style="bold"),
                Text(f"reading the data, starting the workers  {clock(self._view.tracker.elapsed)}", style="dim"),
                options.max_width,
            )
        else:
            yield draw(
                self._snapshot, width=options.max_width, height=console.height, elapsed=self._view.tracker.elapsed
            )
        if self._view.leaving and self._snapshot is not None:
            yield Text(LEAVING, style="yellow")
