"""Rows that somebody holds in memory, as a table: an array ``[N, F]``, or a DataFrame of pandas or polars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

SPLIT = "\x1fsplit"
"""Holds the part that each row is in; a person's column has no such name."""


def feature_frame(inputs: Any) -> pl.DataFrame:
    """Return the rows as a table; the columns of an array are called ``x0``, ``x1``, …"""
    if isinstance(inputs, pl.DataFrame):
        return inputs
    if hasattr(inputs, "iloc"):
        return pl.DataFrame({str(name): _column(inputs[name]) for name in inputs.columns})
    return pl.DataFrame({f"x{i}": column for i, column in enumerate(np.asarray(inputs).T)})


def labelled_frame(training: tuple[Any, Any], validation: tuple[Any, Any]) -> tuple[pl.DataFrame, list[str]]:
    """Return both parts as one table with their targets and the part of each row, and the names of the targets."""
    frames = []
    for part, (inputs, targets) in (("training", training), ("validation", validation)):
        columns = np.asarray(targets).reshape(len(targets), -1).T
        frame = feature_frame(inputs)
        names = _target_names(len(columns), frame.columns)
        told = {name: pl.Series(name, column) for name, column in zip(names, columns, strict=True)}
        frames.append(frame.with_columns(**told, **{SPLIT: pl.lit(part)}))
    return pl.concat(frames, how="vertical_relaxed"), names


def categories(inputs: Any) -> list[str]:
    """Return the columns of a DataFrame that are categories by their type, whatever they hold."""
    if isinstance(inputs, pl.DataFrame):
        return [series.name for series in inputs if isinstance(series.dtype, pl.Categorical | pl.Enum)]
    if hasattr(inputs, "iloc"):
        return [str(name) for name, kind in inputs.dtypes.items() if kind == "category"]
    return []


def _target_names(count: int, taken: Sequence[str]) -> list[str]:
    """Return what messages call the targets: ``y``, or ``y0``, ``y1``, …, or more where a column has that name."""
    names = ["y"] if count == 1 else [f"y{i}" for i in range(count)]
    while any(name in taken for name in names):
        names = [f"target {name}" for name in names]
    return names


def _column(series: Any) -> pl.Series:
    values = series.to_numpy()
    if values.dtype.kind in "biufM":
        return pl.Series(values)
    return pl.Series(series.astype(object).where(series.notna(), None).tolist(), strict=False)
