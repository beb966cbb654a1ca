"""What the columns of a table hold, inferred from their values and overridable by name."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from objectives.tables.values import (
    NumberStyle,
    as_dates,
    as_labels,
    as_numbers,
    date_format,
    is_boolean,
    number_style,
)
from tuner.errors import DataError

Kind = Literal["number", "category", "boolean", "date", "unused"]

_ID_NAME = re.compile(
    r"(?:^|[_\W])(?:id|uuid|guid)$|^id[_\W]|^(?:ids|index|idx|row|rowid|row ?names?|unnamed.*|column 1)$", re.I
)
_ID_NAME_CAMEL = re.compile(r"[a-z](?:Id|ID)$")
_ID_ROWS = 20
"""In a shorter table values may all differ by chance."""
_LARGEST = 1e140
"""The squares of larger numbers overflow, and with them mean and deviation."""
_COUNTED_ROWS = 8
"""So many numbers that follow each other are no chance, in a column that is called as an index is."""
_COUNTS = "identifier: it numbers the rows"


@dataclass(frozen=True, kw_only=True)
class ColumnPlan:
    """How one column is used."""

    name: str
    kind: Kind
    note: str = ""
    """Why it is unused, or what else a person should know."""
    style: NumberStyle = field(default_factory=NumberStyle)
    date_format: str = ""
    texts: bool = False
    """Whether it is unused for its texts, which seldom repeat."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """The columns whose kind a person has written down."""

    numbers: Collection[str] = ()
    categories: Collection[str] = ()
    dates: Collection[str] = ()
    least_rows: int | None = None

    def rare(self, rows: int) -> int:
        """The fewest rows a level of a category needs to stand for itself."""
        return self.least_rows if self.least_rows is not None else max(3, math.ceil(rows * 0.005))


def plan_columns(
    frame: pl.DataFrame, wishes: Wishes, *, where: str, whole: pl.DataFrame | None = None
) -> list[ColumnPlan]:
    """Return the plan of each column of ``frame``, the features of the training part of ``whole``.

    Only all rows together show that a column of a short table counts them: a part of 1, 2, 3 … has gaps.

    Raises:
        DataError: when a column cannot be what a person wants it to be.
    """
    whole = frame if whole is None else whole
    return [_plan(series, whole[series.name], wishes, where) for series in frame]


def _plan(series: pl.Series, whole: pl.Series, wishes: Wishes, where: str) -> ColumnPlan:
    name = series.name
    if name in wishes.numbers:
        return _wanted_number(series, where)
    if name in wishes.dates:
        return _wanted_date(series, where)
    if name in wishes.categories:
        return ColumnPlan(name=name, kind="category")
    if reason := _useless(series) or (_COUNTS if _counts_rows(whole) else ""):
        return _unused(name, reason)
    if series.dtype == pl.String and not is_boolean(series):
        return _plan_text(series, series.drop_nulls(), wishes)
    temporal = isinstance(series.dtype, pl.Date | pl.Datetime)
    return ColumnPlan(name=name, kind="boolean" if is_boolean(series) else "date" if temporal else "number")


def _useless(series: pl.Series) -> str:
    """Why nothing can be learned from a column, or nothing."""
    if isinstance(series.dtype, pl.List | pl.Array | pl.Struct | pl.Binary | pl.Object):
        return f"holds {series.dtype.base_type().__name__.lower()} values, not single ones"
    present = series.drop_nulls()
    if present.is_empty():
        return "every value is missing"
    if present.n_unique() == 1 and len(present) == len(series):
        return f"constant: every value is {_short(present[0])}"
    if series.dtype.is_numeric() and _is_identifier(series.name, present):
        return "identifier: whole numbers that all differ"
    return ""


def _plan_text(series: pl.Series, present: pl.Series, wishes: Wishes) -> ColumnPlan:
    name = series.name
    style = number_style(present)
    if style is not None:
        numbers = as_numbers(present, style)
        if _is_identifier(name, numbers.drop_nulls()):
            return _unused(name, "identifier: whole numbers that all differ")
        return ColumnPlan(name=name, kind="number", style=style, note=_unread(present, numbers))
    form = date_format(present)
    if form is not None:
        return ColumnPlan(name=name, kind="date", date_format=form, note=_unread(present, as_dates(present, form)))
    different = present.n_unique()
    if different > _ID_ROWS and (different == len(present) or (_named_id(name) and different > len(present) / 2)):
        return _unused(name, "identifier: every text differs", texts=True)
    rare = wishes.rare(len(series))
    commonest = int(present.alias("level").value_counts(sort=True)["count"][0])
    if different > _ID_ROWS and commonest < rare:
        return _unused(name, f"text: {different} different values, none in {rare} rows or more", texts=True)
    return ColumnPlan(name=name, kind="category")


def _wanted_number(series: pl.Series, where: str) -> ColumnPlan:
    name = series.name
    style = NumberStyle()
    if series.dtype == pl.String:
        style = number_style(series) or NumberStyle()
        require_numbers(series, as_numbers(series, style), where, remedy="it is listed in numbers")
    elif not (series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.Duration, pl.Time)):
        raise DataError(f"{where}: column '{name}' holds {series.dtype}, not numbers, but is listed in numbers")
    return ColumnPlan(name=name, kind="number", style=style)


def require_numbers(series: pl.Series, numbers: pl.Series, where: str, *, remedy: str) -> None:
    """Refuse a column of texts of which not all could be read as ``numbers``."""
    odd = series.filter(numbers.is_null() & series.is_not_null())
    if not odd.is_empty():
        shown = ", ".join(repr(_short(text)) for text in odd.unique(maintain_order=True).head(3).to_list())
        more = ", …" if odd.n_unique() > 3 else ""
        rows = "1 row holds text" if len(odd) == 1 else f"{len(odd)} rows hold text"
        raise DataError(f"{where}: column '{series.name}': {rows} where a number belongs ({shown}{more}); {remedy}")


def require_moderate(what: str, numbers: NDArray[np.float64], where: str, *, remedy: str) -> None:
    """Refuse numbers ``[N]``, some of which may be NaN, so large that no mean and deviation can be taken of them."""
    largest = np.abs(np.nan_to_num(numbers)).max(initial=0)
    if largest > _LARGEST:
        raise DataError(
            f"{where}: {what} holds numbers as large as {largest:.3g}, too large for a mean and a deviation; {remedy}"
        )


def _wanted_date(series: pl.Series, where: str) -> ColumnPlan:
    if series.dtype != pl.String and not isinstance(series.dtype, pl.Date | pl.Datetime):
        raise DataError(f"{where}: column '{series.name}' holds {series.dtype}, not dates, but is listed in dates")
    form = date_format(series) if series.dtype == pl.String else ""
    if form is None:
        shown = _short(series.drop_nulls().head(1).to_list()[0]) if series.count() else ""
        raise DataError(
            f"{where}: column '{series.name}' is listed in dates, but '{shown}' is no known date; "
            "write dates as 2026-01-31"
        )
    return ColumnPlan(name=series.name, kind="date", date_format=form)


def _is_identifier(name: str, numbers: pl.Series) -> bool:
    """Whether whole numbers only name the rows: 1, 2, 3 … in order, or all different in a column called id."""
    if len(numbers) <= _ID_ROWS or numbers.n_unique() != len(numbers):
        return False
    numbers = numbers.cast(pl.Float64, strict=False)
    if not (numbers == numbers.round()).all():
        return False
    if _named_id(name):
        return True
    steps = numbers.diff().drop_nulls()
    # a part of the rows of 1, 2, 3 … still rises everywhere and leaves few numbers out
    return numbers[0] <= _ID_ROWS and numbers[0] >= 0 and bool((steps > 0).all()) and bool(steps.mean() < 4)  # type: ignore[operator]


def _counts_rows(whole: pl.Series) -> bool:
    """Whether all rows of a table are numbered one after the other, in any order, in a column called as an index is."""
    if (
        len(whole) < _COUNTED_ROWS
        or not _named_id(whole.name)
        or not (whole.dtype.is_integer() or whole.dtype == pl.String)
    ):
        return False
    numbers = whole.cast(pl.Int64, strict=False)
    return bool((numbers.sort().diff().drop_nulls() == 1).all()) and not numbers.has_nulls()


def _named_id(name: str) -> bool:
    return bool(_ID_NAME.search(name) or _ID_NAME_CAMEL.search(name))


def _unread(present: pl.Series, parsed: pl.Series) -> str:
    odd = present.filter(parsed.is_null())
    if odd.is_empty():
        return ""
    first = _short(odd[0])
    return f"{len(odd)} value{'s' * (len(odd) > 1)} such as '{first}' could not be read and count as missing"


def _unused(name: str, reason: str, *, texts: bool = False) -> ColumnPlan:
    return ColumnPlan(name=name, kind="unused", note=reason, texts=texts)


def _short(value: object) -> str:
    shown = str(value)
    return shown if len(shown) <= 30 else shown[:29] + "…"


def level_counts(series: pl.Series) -> dict[str, int]:
    """Return how many rows each level of a category has, by name."""
    counts = as_labels(series).alias("level").drop_nulls().value_counts()
    return dict(sorted(zip(counts[:, 0].to_list(), counts[:, 1].to_list(), strict=True)))
