"""From columns to the numbers a network takes: fitted on the training part alone, kept as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from objectives.tables.columns import ColumnPlan, require_moderate
from objectives.tables.encoders import (
    CYCLES,
    CategoryEncoder,
    DateEncoder,
    Encoder,
    NumberEncoder,
    cycle_of,
    days,
    finite_numbers,
)
from objectives.tables.values import NumberStyle, as_dates, as_labels, as_numbers
from tuner.errors import DataError
from tuner.spelling import nearest

Array = NDArray[np.float32]


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

    def strange(self, frame: pl.DataFrame) -> tuple[list[str], list[str]]:
        """Return notes and warnings, one for each column in which new rows hold what training had nothing like.

        One row may well be strange; all of several are where they are written otherwise than in training: a warning.
        """
        notes: list[str] = []
        warnings: list[str] = []
        for encoder in self.encoders:
            if encoder.name in frame.columns:
                series = frame[encoder.name]
                odd = series.filter(encoder.strange(series))
                if len(odd):
                    told = encoder.strangeness.format(odd[0])
                    (warnings if 1 < len(odd) == series.count() else notes).append(
                        f"column '{encoder.name}': {len(odd)} of {len(series)} rows hold {told}"
                    )
        return notes, warnings

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
        DataError: when a column holds infinite values.
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
    return Preprocessing(encoders=tuple(encoder for encoder in encoders if encoder.features))


def _fit_numbers(
    frame: pl.DataFrame, plans: Sequence[ColumnPlan], missing: str, where: str
) -> dict[str, NumberEncoder]:
    from sklearn.impute import SimpleImputer  # here, for it takes seconds, which new rows need not wait for
    from sklearn.preprocessing import StandardScaler

    if not plans:
        return {}
    columns = [finite_numbers(frame[plan.name], plan.style, where=where).to_numpy() for plan in plans]
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
    known = days(dates).drop_nulls()
    fill, mean, spread = (float(value or 0.0) for value in (known.median(), known.mean(), known.std(ddof=0)))  # type: ignore[arg-type]
    cycles = tuple(name for name in CYCLES if cycle_of(dates, name).drop_nulls().n_unique() > 1)
    return DateEncoder(
        name=plan.name,
        format=plan.date_format,
        fill=fill,
        mean=mean,
        scale=spread or 1.0,
        cycles=cycles,
        marks_missing=bool(dates.null_count()),
    )
