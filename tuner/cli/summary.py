"""What a person reads when a run has ended: what was found, whether it overfits, and what to type next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from tuner import attributes
from tuner.cli.printing import again, hint, wrapped
from tuner.cli.tables import print_table, terminal_width
from tuner.columns import outcome_columns
from tuner.output import clock, params_line, printable, score

if TYPE_CHECKING:
    from tuner.results import Results, Status, TrialRow

_TOP = 5


def print_summary(results: Results, *, elapsed: float, storage: str | None) -> None:
    """Print the end of a run."""
    status = results.status()
    click.echo(_headline(results, status, elapsed))
    if status.best:
        rows = list(results.best(_TOP))[:_TOP]
        click.echo()
        print_table(outcome_columns(rows, results.metric_names))
        if rows[0].params:
            line = f"trial {rows[0].number}: {params_line(rows[0].params)}"
            click.echo()
            for part in printable_lines(wrapped(line, terminal_width())):
                click.echo(part)
        for line in _brought(results, rows[0]):
            click.echo()
            click.echo(printable(line))
    _hint_next(results, status, storage)


def printable_lines(text: str) -> list[str]:
    """Return the lines of ``text`` without control characters."""
    return [printable(line) for line in text.split("\n")]


def _headline(results: Results, status: Status, elapsed: float) -> str:
    ended = ", ".join(
        f"{status.counts[state]} {state}"
        for state in ("finished", "pruned", "diverged", "failed", "interrupted", "running")
        if status.counts[state]
    )
    of = f" of {status.budget}" if status.budget is not None else ""
    why = f"; {status.stopped}" if status.stopped else ""
    name = click.style(printable(results.name), bold=True)
    return f"{name}: {status.done}{of} trials done in {clock(elapsed)}{why}" + (f"\n{ended}" if ended else "")


def _brought(results: Results, best: TrialRow) -> Iterator[str]:
    """What tuning brought over the usual configuration, where a trial with that finished."""
    usual = results.trial(0)
    if len(results.metric_names) > 1 or usual.state != "finished" or usual.attributes.get(attributes.USUAL) is not True:
        return
    (metric,) = results.metric_names
    better = best.values[metric] != usual.values[metric]
    brought = f"tuning brought {score(best.values[metric])}" if better else "nothing better was found"
    yield f"the usual configuration (trial 0): {metric} {score(usual.values[metric])}; {brought}"


def _hint_next(results: Results, status: Status, storage: str | None) -> None:
    name = results.name
    more = max(10, round((status.budget or status.done) / 2))
    left = status.budget is None or status.done < status.budget
    steps: list[tuple[str, str]] = []
    if status.best:
        best: TrialRow = status.best[0]
        shown = ("best", name) if len(status.best) == 1 else ("show", name, str(best.number))
        steps = [
            (again(*shown, storage=storage), "the best trial in full"),
            (again("trials", name, "--sort", "value", "--limit", "10", storage=storage), "the ten best"),
        ]
        if results.spec is not None and not results.spec.confirms:
            then = ", then the test part" if attributes.VERDICT in best.attributes else ""  # a function has none
            steps.append((again("confirm", name, storage=storage), f"how much of it is luck: new seeds{then}"))
        keeps_none = results.spec is not None and not results.spec.model.keep_as
        if keeps_none and best.attributes.get(attributes.NETWORK_PARAMETERS):
            steps.append((again("keep", name, storage=storage), "keep its network, to predict with"))
    if status.counts["failed"]:
        steps.append((again("trials", name, "--state", "failed", storage=storage), "what failed"))
    if left:
        steps.append((again("resume", name, storage=storage), "go on"))
    else:
        steps.append((again("resume", name, "--add", str(more), storage=storage), f"{more} trials more"))
    width = max(len(command) for command, _ in steps)
    hint("\nNext:")
    for command, meaning in steps:
        hint(f"  {command.ljust(width)}  {meaning}")
