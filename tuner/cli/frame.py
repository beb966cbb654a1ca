"""The picture of a running study: a line of text, or a few lines of a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuner.cli.curves import plot
from tuner.cli.progress import Amid, Snapshot
from tuner.output import clock, params_line, printable, score

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

_PLOT_HEIGHT = 4
_ROWS_WITH_PLOTS = 16
"""A lower terminal shows no plots."""


def progress_line(snapshot: Snapshot) -> str:
    """Return how the study stands in one line."""
    parts = [trials_line(snapshot), *counts(snapshot)]
    if snapshot.rate is not None:
        parts.append(f"{snapshot.rate:.0f} trials/min")
    if snapshot.amid is not None:
        parts.append(amid_line(snapshot.amid, snapshot.metrics[0]))
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
        trials = f"{len(snapshot.best)} trial{'s' if len(snapshot.best) > 1 else ''}"
        return f"front of {trials}: {values} (trial {snapshot.best[0].number})"
    best = snapshot.best[0]
    return f"{snapshot.metrics[0]} {score(best.values.get(snapshot.metrics[0]))} (trial {best.number})"


def amid_line(amid: Amid, metric: str) -> str:
    """Return ``trial 3 at epoch 2 of 10: perplexity 7.4230``."""
    return f"trial {amid.number} at epoch {amid.epoch} of {amid.epochs}: {metric} {score(amid.value)}"


def draw(snapshot: Snapshot, *, width: int, height: int, elapsed: float) -> Group:
    """Return the picture of a running study in so many columns and lines."""
    from rich.console import Group
    from rich.text import Text

    goal = ", ".join(f"{n} {'↑' if d == 'maximize' else '↓'}" for n, d in _goals(snapshot))
    workers = f"{snapshot.workers} worker{'s' if snapshot.workers != 1 else ''}"
    lines: list[Text | Group] = [
        ends(
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


def ends(left: Text, right: Text, width: int) -> Text:
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
    if snapshot.amid is not None:
        text.append(printable(amid_line(snapshot.amid, snapshot.metrics[0])), style="dim")
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
    edges = {0: score(max(finite, default=None)), _PLOT_HEIGHT - 1: score(min(finite, default=None))}
    drawn = [f"{edges.get(index, ''):>8} {line}" for index, line in enumerate(lines)]
    drawn += [""] * (_PLOT_HEIGHT - len(drawn))
    return [line.ljust(width) for line in (f"{'':>8} {title}"[:width], *drawn)]
