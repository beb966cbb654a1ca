"""Columns on their way into the network: each kind says what its features are, and what is strange to it."""

from __future__ import annotations

import datetime as dt
import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from objectives.tables.values import (
    NumberStyle,
    as_dates_or_iso,
    as_labels,
    as_numbers,
    as_truth_labels,
    date_format,
)
from tuner.errors import DataError

CYCLES = {"month": 12, "weekday": 7, "hour": 24}
_MICROSECONDS_A_DAY = 86_400_000_000
_FARTHEST = 1e9
"""Deviations from the mean: no training row is so far away, and a network's squares stay finite in float32."""
_MANY = 20
"""Of so many rows not all have rare levels by chance."""


@dataclass(frozen=True, kw_only=True)
class Encoder(ABC):
    """One column's way into the network."""

    kind: ClassVar[str]
    strangeness: ClassVar[str]
    """What :meth:`strange` finds, in words, around one of them."""
    name: str

    @property
    @abstractmethod
    def features(self) -> list[str]:
        """The names of the features it becomes."""

    @abstractmethod
    def encode(self, series: pl.Series, *, where: str) -> NDArray[np.float64]:
        """Return the ``[N, features]`` values of the column.

        Raises:
            DataError: when the column does not hold what it held in training.
        """

    @abstractmethod
    def strange(self, series: pl.Series) -> pl.Series:
        """Return in which rows there is something that training had nothing like ``[N]``."""

    def to_json(self) -> dict[str, Any]:
        """Return all that is needed to make it again."""
        return {"kind": self.kind} | asdict(self)


@dataclass(frozen=True, kw_only=True)
class NumberEncoder(Encoder):
    """A number, standardised; what is missing is filled and, if that occurred in training, marked.

    What lies absurdly far from all that training had is brought within ``reach``.
    """

    kind = "number"
    strangeness = "no number ('{}'); they count as missing"
    style: NumberStyle
    fill: float
    mean: float
    scale: float
    constant: bool = False
    """All known values are one; only whether it is missing tells anything."""
    marks_missing: bool = False

    @property
    def features(self) -> list[str]:
        return [self.name] * (not self.constant) + [f"{self.name} is missing"] * self.marks_missing

    @property
    def reach(self) -> tuple[float, float]:
        """The least and the largest number that is told from those beyond it."""
        return self.mean - _FARTHEST * self.scale, self.mean + _FARTHEST * self.scale

    def strange(self, series: pl.Series) -> pl.Series:
        return as_numbers(series, self.style).is_null() & series.is_not_null()

    def _said(self, series: pl.Series) -> str:
        """What training had, and how to write it where the texts seem to have another sign of decimals."""
        if series.dtype != pl.String or not series.str.contains(self.style.grouping, literal=True).any():
            return "numbers"
        return f"numbers with a decimal {'comma' if self.style.decimal == ',' else 'point'}; write them so"

    def encode(self, series: pl.Series, *, where: str) -> NDArray[np.float64]:
        numbers = finite_numbers(series, self.style, where=where).clip(*self.reach)
        _require_readable(series, numbers, self._said(series), where)
        missing = numbers.is_null().to_numpy()
        values = (numbers.fill_null(self.fill).to_numpy() - self.mean) / self.scale
        kept = [values] * (not self.constant) + [missing] * self.marks_missing
        return np.column_stack(kept).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class CategoryEncoder(Encoder):
    """A category, one-hot; rare and unseen levels share 'other', missing ones are a level of their own."""

    kind = "category"
    strangeness = "a category that training had not ('{}')"
    levels: tuple[str, ...]
    other: bool = False
    """Whether there is a feature for levels that are rare or were not seen in training."""
    marks_missing: bool = False
    ignores_case: bool = False
    """Whether the levels say yes and no: then those of new rows may be spelled otherwise."""

    @property
    def features(self) -> list[str]:
        names = [f"{self.name} = {level}" for level in self._shown]
        return names + [f"{self.name} = (other)"] * self.other + [f"{self.name} is missing"] * self.marks_missing

    @property
    def _shown(self) -> tuple[str, ...]:
        """Of exactly two levels the second says all."""
        return self.levels[1:] if len(self.levels) == 2 and not self.other else self.levels

    def _labels(self, series: pl.Series) -> pl.Series:
        return as_truth_labels(series, self.levels) if self.ignores_case else as_labels(series, self.levels)

    def strange(self, series: pl.Series) -> pl.Series:
        """Where rare levels were put together, nobody knows them any more: then only many at once are strange."""
        labels = self._labels(series)
        unseen = labels.is_not_null() & ~labels.is_in(self.levels).fill_null(False)
        return unseen & (not self.other or unseen.sum() == series.count() >= _MANY)

    def encode(self, series: pl.Series, *, where: str) -> NDArray[np.float64]:
        labels = self._labels(series)
        columns = [(labels == level).fill_null(False) for level in self._shown]
        if self.other:
            columns.append(labels.is_not_null() & ~labels.is_in(self.levels).fill_null(False))
        if self.marks_missing:
            columns.append(labels.is_null())
        return np.column_stack([column.to_numpy() for column in columns]).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class DateEncoder(Encoder):
    """A date: the days, standardised, and where it varies the month, weekday and hour as points on a circle."""

    kind = "date"
    strangeness = "no date that can be read ('{}'); they count as missing"
    format: str
    fill: float
    mean: float
    scale: float
    cycles: tuple[str, ...] = ()
    marks_missing: bool = False

    @property
    def features(self) -> list[str]:
        circle = [f"{self.name} {cycle} {axis}" for cycle in self.cycles for axis in ("sin", "cos")]
        return [f"{self.name} days", *circle] + [f"{self.name} is missing"] * self.marks_missing

    def _dates(self, series: pl.Series) -> pl.Series:
        written = self.format or (date_format(series) or "" if series.dtype == pl.String else "")
        return as_dates_or_iso(series, written)  # where training had dates and no texts, a CSV file's are of any format

    def strange(self, series: pl.Series) -> pl.Series:
        return self._dates(series).is_null() & series.is_not_null()

    def encode(self, series: pl.Series, *, where: str) -> NDArray[np.float64]:
        dates = self._dates(series)
        like = f" such as {dt.datetime(2026, 1, 31):{self.format.replace('%.f', '')}}" if self.format else ""
        _require_readable(series, dates, f"dates{like}; write them so, or as 2026-01-31", where)
        missing = dates.is_null()
        since = (days(dates).fill_null(self.fill) - self.mean) / self.scale
        columns = [since.to_numpy()]
        for cycle in self.cycles:
            angle = cycle_of(dates, cycle) * (2 * math.pi / CYCLES[cycle])
            columns += [angle.sin().fill_null(0.0).to_numpy(), angle.cos().fill_null(0.0).to_numpy()]
        if self.marks_missing:
            columns.append(missing.to_numpy())
        return np.column_stack(columns).astype(np.float64)


def finite_numbers(series: pl.Series, style: NumberStyle, *, where: str) -> pl.Series:
    """Return a column ``[N]`` as numbers, null where it says none.

    Raises:
        DataError: when some are infinite.
    """
    numbers = as_numbers(series, style)
    infinite = int(numbers.is_infinite().fill_null(False).sum())
    if infinite:
        raise DataError(
            f"{where}: column '{series.name}' is infinite in {infinite} row{'s' * (infinite > 1)}; "
            "mend them, leave them empty, or list the column in drop"
        )
    return numbers


def _require_readable(series: pl.Series, parsed: pl.Series, what: str, where: str) -> None:
    """Refuse a column of which most values are of another kind than in training; a few count as missing."""
    odd = parsed.is_null() & series.is_not_null()
    if odd.sum() > series.count() / 2:
        shown = str(series.filter(odd)[0])[:30]
        raise DataError(f"{where}: column '{series.name}' holds '{shown}' where training had {what}")


def days(dates: pl.Series) -> pl.Series:
    """Return dates ``[N]`` as days since 1970."""
    return dates.dt.timestamp("us").cast(pl.Float64) / _MICROSECONDS_A_DAY


def cycle_of(dates: pl.Series, cycle: str) -> pl.Series:
    """Return where in one of the :data:`CYCLES` dates ``[N]`` are: the month from 1, say."""
    part = {"month": dates.dt.month, "weekday": dates.dt.weekday, "hour": dates.dt.hour}[cycle]()
    return part.cast(pl.Float64)
