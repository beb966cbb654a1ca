"""From columns to the numbers a network takes: fitted on the training part alone, kept as plain JSON."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from objectives.tables.columns import ColumnPlan, require_moderate
from objectives.tables.values import NumberStyle, as_dates, as_labels, as_numbers, date_format
from tuner.errors import DataError
from tuner.spelling import nearest

Array = NDArray[np.float32]
_CYCLES = {"month": 12, "weekday": 7, "hour": 24}
_MICROSECONDS_A_DAY = 86_400_000_000
_FARTHEST = 1e9
"""Deviations from the mean: no training row is so far away, and a network's squares stay finite in float32."""


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

    def encode(self, series: pl.Series, *, where: str) -> NDArray[np.float64]:
        numbers = _finite_numbers(series, self.style, where=where).clip(*self.reach)
        what = "numbers with a decimal comma" if self.style.decimal == "," else "numbers"
        _require_readable(series, numbers, what, where)
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

    @property
    def features(self) -> list[str]:
        names = [f"{self.name} = {level}" for level in self._shown]
        return names + [f"{self.name} = (other)"] * self.other + [f"{self.name} is missing"] * self.marks_missing

    @property
    def _shown(self) -> tuple[str, ...]:
        """Of exactly two levels the second says all."""
        return self.levels[1:] if len(self.levels) == 2 and not self.other else self.levels

    def _labels(self, series: pl.Series) -> pl.Series:
        labels = as_labels(series, self.levels)
        return labels.str.to_lowercase() if self.ignores_case else labels

    def strange(self, series: pl.Series) -> pl.Series:
        """Where rare levels were put together, nobody knows them any more: then a new one is nothing strange."""
        labels = self._labels(series)
        return labels.is_not_null() & ~labels.is_in(self.levels).fill_null(False) & (not self.other)

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
        return as_dates(series, written)  # where training had dates and no texts, a CSV file's are of any format

    def strange(self, series: pl.Series) -> pl.Series:
        return self._dates(series).is_null() & series.is_not_null()

    def encode(self, series: pl.Series, *, where: str) -> NDArray[np.float64]:
        dates = self._dates(series)
        _require_readable(series, dates, "dates", where)
        missing = dates.is_null()
        days = (_days(dates).fill_null(self.fill) - self.mean) / self.scale
        columns = [days.to_numpy()]
        for cycle in self.cycles:
            angle = _cycle(dates, cycle) * (2 * math.pi / _CYCLES[cycle])
            columns += [angle.sin().fill_null(0.0).to_numpy(), angle.cos().fill_null(0.0).to_numpy()]
        if self.marks_missing:
            columns.append(missing.to_numpy())
        return np.column_stack(columns).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """The fitted way from a table's feature columns to a network's inputs."""

    encoders: tuple[Encoder, ...]

    @property
    def features(self) -> list[str]:
        """The names of the network's inputs."""
        return [feature for encoder in self.encoders for feature in encoder.features]

    def transform(self, frame: pl.DataFrame, *, where: str) -> Array:
        """Return the ``[N, features]`` inputs of a table that :func:`~objectives.tables.reading.normalise` went over.

        Raises:
            DataError: when a column is absent or does not hold what it held in training.
        """
        absent = [encoder.name for encoder in self.encoders if encoder.name not in frame.columns]
        if absent:
            listed = ", ".join(f"'{name}'" for name in absent[:8])
            hint = nearest(absent[0], {*frame.columns} - {encoder.name for encoder in self.encoders})
            raise DataError(f"{where}: column{'s' * (len(absent) > 1)} {listed} absent, which training had{hint}")
        blocks = [encoder.encode(frame[encoder.name], where=where) for encoder in self.encoders]
        return np.concatenate(blocks, axis=1, dtype=np.float32, casting="unsafe")

    def without_infinite(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[int, str]]:
        """Return new rows with nothing where a number is infinite, and for each such row what is the matter."""
        faults: dict[int, str] = {}
        for encoder in self.encoders:
            if isinstance(encoder, NumberEncoder) and encoder.name in frame.columns:
                series = frame[encoder.name]
                infinite = as_numbers(series, encoder.style).is_infinite().fill_null(False)
                faults |= dict.fromkeys(infinite.arg_true().to_list(), f"'{encoder.name}' is infinite")
                frame = frame.with_columns(series.set(infinite, None))
        return frame, faults

    def strange(self, frame: pl.DataFrame) -> list[str]:
        """Return a note for each column in which new rows hold what training had nothing like."""
        notes = []
        for encoder in self.encoders:
            if encoder.name in frame.columns:
                series = frame[encoder.name]
                odd = series.filter(encoder.strange(series))
                if len(odd):
                    told = encoder.strangeness.format(odd[0])
                    notes.append(f"column '{encoder.name}': {len(odd)} of {len(series)} rows hold {told}")
        return notes

    def clipped(self, frame: pl.DataFrame) -> list[str]:
        """Return a note for each column in which rows hold numbers that are brought within reach."""
        notes = []
        for encoder in self.encoders:
            if isinstance(encoder, NumberEncoder) and not encoder.constant and encoder.name in frame.columns:
                numbers = as_numbers(frame[encoder.name], encoder.style)
                low, high = encoder.reach
                odd = numbers.filter((numbers < low) | (numbers > high))
                if len(odd):
                    told = f"a number far beyond training's ({odd[0]:.3g}); clipped to {low:.3g} … {high:.3g}"
                    notes.append(f"column '{encoder.name}': {len(odd)} of {len(numbers)} rows hold {told}")
        return notes

    def to_json(self) -> dict[str, Any]:
        """Return the fitted state as plain JSON."""
        return {"version": 1, "encoders": [encoder.to_json() for encoder in self.encoders]}

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Preprocessing:
        """Return what :meth:`to_json` wrote.

        Raises:
            DataError: when it was written by a later version.
        """
        if state.get("version") != 1:
            raise DataError(f"preprocessing has version {state.get('version')!r}; this tuner reads version 1")
        return cls(encoders=tuple(_encoder_from_json(entry) for entry in state["encoders"]))


def _encoder_from_json(entry: Mapping[str, Any]) -> Encoder:
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in entry.items()}
    if "style" in values:
        values["style"] = NumberStyle(**values["style"])
    kinds: dict[str, type[Encoder]] = {cls.kind: cls for cls in (NumberEncoder, CategoryEncoder, DateEncoder)}
    return kinds[values.pop("kind")](**values)


def fit(
    frame: pl.DataFrame,
    plans: Sequence[ColumnPlan],
    *,
    missing: Literal["median", "mean"],
    least_rows: int,
    max_categories: int,
    where: str,
) -> Preprocessing:
    """Return the preprocessing whose every statistic is that of ``frame``, the training part.

    Raises:
        DataError: when a column holds infinite values, or no column is left.
    """
    numeric = [plan for plan in plans if plan.kind == "number"]
    numbers = _fit_numbers(frame, numeric, missing, where)
    encoders: list[Encoder] = []
    for plan in plans:
        if plan.kind == "number":
            encoders.append(numbers[plan.name])
        elif plan.kind == "date":
            encoders.append(_fit_date(frame[plan.name], plan))
        elif plan.kind in ("category", "boolean"):
            encoders.append(_fit_category(frame[plan.name], plan, least_rows, max_categories))
    encoders = [encoder for encoder in encoders if encoder.features]
    if not encoders:
        reasons = "; ".join(f"'{plan.name}': {plan.note}" for plan in plans[:4] if plan.note)
        raise DataError(
            f"{where}: no column is left to learn from ({reasons}); to use one all the same, list it in numbers or "
            "categories"
            if reasons
            else f"{where}: no column is left to learn from; there is only the target"
        )
    return Preprocessing(encoders=tuple(encoders))


def _fit_numbers(
    frame: pl.DataFrame, plans: Sequence[ColumnPlan], missing: str, where: str
) -> dict[str, NumberEncoder]:
    if not plans:
        return {}
    columns = [_finite_numbers(frame[plan.name], plan.style, where=where).to_numpy() for plan in plans]
    values = np.column_stack(columns).astype(np.float64)
    remedy = "divide them, take their logarithms, or list the column in drop"
    for plan, column in zip(plans, columns, strict=True):
        require_moderate(f"column '{plan.name}'", column, where, remedy=remedy)
    imputer = SimpleImputer(strategy=missing, keep_empty_features=True).fit(values)
    filled = imputer.transform(values)
    scaler = StandardScaler().fit(filled)
    absent = np.isnan(values)
    marks = np.logical_and(absent.any(0), ~absent.all(0)).tolist()
    encoders = {}
    for i, plan in enumerate(plans):
        constant = bool(np.ptp(filled[:, i]) == 0)
        encoders[plan.name] = NumberEncoder(
            name=plan.name,
            style=plan.style,
            fill=float(imputer.statistics_[i]),
            mean=float(scaler.mean_[i]),
            scale=float(scaler.scale_[i]),
            constant=constant,
            marks_missing=marks[i],
        )
    return encoders


def _fit_category(series: pl.Series, plan: ColumnPlan, least_rows: int, max_categories: int) -> CategoryEncoder:
    boolean = plan.kind == "boolean"
    labels = as_labels(series)
    if boolean:
        labels = labels.str.to_lowercase()
    counts = labels.alias("level").drop_nulls().value_counts()
    frequent = counts if boolean else counts.filter(pl.col("count") >= least_rows)
    most = max_categories - (frequent.height < counts.height or counts.height > max_categories)
    levels = tuple(sorted(frequent.sort("count", "level", descending=[True, False])["level"].head(most).to_list()))
    return CategoryEncoder(
        name=plan.name,
        levels=levels,
        other=bool(levels) and len(levels) < counts.height,
        marks_missing=bool(labels.null_count()),
        ignores_case=boolean,
    )


def _fit_date(series: pl.Series, plan: ColumnPlan) -> DateEncoder:
    dates = as_dates(series, plan.date_format)
    days = _days(dates).drop_nulls()
    fill, mean, spread = (float(value or 0.0) for value in (days.median(), days.mean(), days.std(ddof=0)))  # type: ignore[arg-type]
    cycles = tuple(name for name in _CYCLES if _cycle(dates, name).drop_nulls().n_unique() > 1)
    return DateEncoder(
        name=plan.name,
        format=plan.date_format,
        fill=fill,
        mean=mean,
        scale=spread or 1.0,
        cycles=cycles,
        marks_missing=bool(dates.null_count()),
    )


def _finite_numbers(series: pl.Series, style: NumberStyle, *, where: str) -> pl.Series:
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


def _days(dates: pl.Series) -> pl.Series:
    return dates.dt.timestamp("us").cast(pl.Float64) / _MICROSECONDS_A_DAY


def _cycle(dates: pl.Series, cycle: str) -> pl.Series:
    part = {"month": dates.dt.month, "weekday": dates.dt.weekday, "hour": dates.dt.hour}[cycle]()
    return part.cast(pl.Float64)
