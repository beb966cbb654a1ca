"""Curves in characters: a line of blocks, or a plot of braille dots."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""The bits of a braille character: column, then row from the top."""


def running_best(values: Sequence[float | None], *, maximize: bool) -> list[float]:
    """Return the best value so far after each value; ``None`` and NaN are no values, and those before the first
    value are left out."""
    best: list[float] = []
    for value in values:
        if value is None or math.isnan(value):
            if best:
                best.append(best[-1])
        elif not best:
            best.append(value)
        else:
            best.append(max(best[-1], value) if maximize else min(best[-1], value))
    return best


def sparkline(values: Sequence[float], width: int) -> str:
    """Return at most ``width`` blocks, the higher the larger; long series are thinned out."""
    finite = [value for value in resample(values, width) if math.isfinite(value)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BLOCKS[round((value - low) * scale)] for value in finite)


def plot(series: Sequence[Sequence[float]], *, width: int, height: int, dashed: bool = False) -> list[str]:
    """Return ``height`` lines of ``width`` braille characters that show each series from left to right.

    All share one scale; a value that is not finite leaves a gap. With ``dashed`` the first series is.
    """
    finite = [value for values in series for value in values if math.isfinite(value)]
    if not finite or width < 1 or height < 1:
        return []
    low, high = min(finite), max(finite)
    cells = [[0] * width for _ in range(height)]
    longest = max(map(len, series))
    for index, values in enumerate(series):
        previous: int | None = None
        for x in range(2 * width if longest == 1 else 1 + (2 * width - 1) * (len(values) - 1) // (longest - 1)):
            value = _at(values, x * (longest - 1) / max(1, 2 * width - 1))
            if not math.isfinite(value):
                previous = None
                continue
            share = (value - low) / (high - low) if high > low else 0.5
            y = round((1 - share) * (4 * height - 1))
            hidden = dashed and index == 0 and x % 4 >= 2
            for dot in () if hidden else _between(previous, y):
                cells[dot // 4][x // 2] |= _DOTS[x % 2][dot % 4]
            previous = y
    return ["".join(chr(0x2800 + bits) for bits in row) for row in cells]


def resample(values: Sequence[float], width: int) -> list[float]:
    """Return at most ``width`` of the values, evenly spaced, the last one included."""
    if len(values) <= width:
        return list(values)
    if width < 2:
        return list(values[-1:])
    return [values[round(i * (len(values) - 1) / (width - 1))] for i in range(width)]


def _at(values: Sequence[float], position: float) -> float:
    """The value at ``position``, between two values on the line that joins them."""
    index = min(int(position), len(values) - 1)
    share = position - index
    if share == 0 or index + 1 >= len(values):
        return values[index]
    return values[index] * (1 - share) + values[index + 1] * share


def _between(previous: int | None, y: int) -> range:
    """The dots of one column that join it to the last one."""
    if previous is None or previous == y:
        return range(y, y + 1)
    return range(previous + 1, y + 1) if previous < y else range(y, previous)
