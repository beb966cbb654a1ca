"""Tables for people: as wide as the terminal, and plain aligned text where there is none."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import click

from tuner.columns import Column
from tuner.output import printable

if TYPE_CHECKING:
    from rich.console import Console

_GAP = 2
"""Blanks between two columns."""
_STATE_STYLES = {
    "running": "cyan",
    "done": "green",
    "finished": "green",
    "pruned": "yellow",
    "interrupted": "yellow",
    "stopped": "yellow",
    "diverged": "magenta",
    "failed": "red",
    "overfits": "yellow",
}


def fitting(columns: Sequence[Column], width: int | None) -> list[Column]:
    """Return the columns that fit into ``width``, those of low rank before those of high rank, in their order."""
    if width is None:
        return list(columns)
    kept: set[int] = set()
    used = -_GAP
    by_rank = sorted(range(len(columns)), key=lambda index: (columns[index].rank, index))
    for index in by_rank:
        needed = columns[index].width + _GAP
        if columns[index].rank and used + needed > width:
            break
        kept.add(index)
        used += needed
    return [column for index, column in enumerate(columns) if index in kept]


def print_table(columns: Sequence[Column]) -> int:
    """Print a table on stdout; return how many columns had no room."""
    columns = [_cleaned(column) for column in columns]
    if not sys.stdout.isatty():
        for line in _plain(columns):
            click.echo(line)
        return 0
    console = stdout_console()
    shown = fitting(columns, console.width)
    _print_rich(console, shown)
    return len(columns) - len(shown)


def terminal_width() -> int | None:
    """Return the width of the terminal that stdout is, or ``None``."""
    return stdout_console().width if sys.stdout.isatty() else None


@cache
def stdout_console() -> Console:
    """Return rich's view of stdout."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def _plain(columns: Sequence[Column]) -> list[str]:
    lines = []
    for row in zip(*((column.title, *column.cells) for column in columns), strict=True):
        cells = [
            cell.ljust(column.width) if column.left else cell.rjust(column.width)
            for cell, column in zip(row, columns, strict=True)
        ]
        lines.append((" " * _GAP).join(cells).rstrip())
    return lines


def _print_rich(console: Console, columns: Sequence[Column]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(Text(column.title), justify="left" if column.left else "right", no_wrap=True)
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*(Text(cell, style=_STATE_STYLES.get(cell.split(" ")[0], "")) for cell in row))
    console.print(table)


def _cleaned(column: Column) -> Column:
    cells = tuple(printable(cell) for cell in column.cells)
    return Column(title=printable(column.title), cells=cells, left=column.left, rank=column.rank)
