"""What is predicted: the task, the classes, and the way between the target's units and the network's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from objectives.tables.columns import level_counts, require_moderate, require_numbers
from objectives.tables.values import (
    NO,
    YES,
    NumberStyle,
    as_labels,
    as_numbers,
    as_truth_labels,
    is_boolean,
    number_style,
)
from tuner.errors import DataError
from tuner.metrics import Task
from tuner.sections import nearest

_FEW = 20
"""Whole numbers with no more different values than this are taken for classes."""
_MOST_CLASSES = 1000


@dataclass(frozen=True, kw_only=True)
class Target:
    """The target columns and how they are coded; plain values, kept as JSON."""

    task: Task
    columns: tuple[str, ...]
    classes: tuple[str, ...] = ()
    """Of classification: the class that each output stands for."""
    styles: tuple[NumberStyle, ...] = ()
    means: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()
    """Of regression: the network learns (value − mean) / scale of each column, those of the training part."""

    @property
    def outputs(self) -> int:
        """How many outputs the network has."""
        return len(self.classes) or len(self.columns)

    def encode(self, frame: pl.DataFrame, *, where: str) -> NDArray[Any]:
        """Return class numbers ``[N]`` (int64) or, before :meth:`fit` unscaled, values ``[N, T]`` (float64).

        Raises:
            DataError: for a class that is not one of ``classes``, and for text where a number belongs.
        """
        if self.task == "classification":
            labels = self._labels(frame[self.columns[0]])
            strange = sorted(set(labels.unique().to_list()) - set(self.classes))
            if strange:
                listed = ", ".join(f"'{label}'" for label in strange[:5])
                known = ", ".join(f"'{label}'" for label in self.classes[:8])
                raise DataError(
                    f"{where}: target '{self.columns[0]}' has classes that training lacks: {listed}; known: {known}"
                )
            numbers = {label: i for i, label in enumerate(self.classes)}
            return labels.replace_strict(numbers, return_dtype=pl.Int64).to_numpy()
        values = [
            target_numbers(frame[name], style, where) for name, style in zip(self.columns, self.styles, strict=True)
        ]
        encoded = np.column_stack(values)
        return (encoded - np.array(self.means)) / np.array(self.scales) if self.means else encoded

    def _labels(self, series: pl.Series) -> pl.Series:
        """Return the column as the names of classes; yes and no are understood in any of their spellings."""
        labels = as_labels(series, self.classes)
        if is_boolean(pl.Series(self.classes)):
            return labels.zip_with(labels.is_in(self.classes), as_truth_labels(labels, self.classes))
        return labels

    def known(self, frame: pl.DataFrame) -> tuple[list[int], pl.DataFrame]:
        """Return the numbers of the rows that have every target, of a class in ``classes``, and these rows."""
        has = pl.Series([True]).new_from_index(0, frame.height)
        for name in self.columns:
            has &= frame[name].is_not_null()
            if self.task == "classification":
                has &= self._labels(frame[name]).is_in(self.classes).fill_null(False)
        return has.arg_true().to_list(), frame.filter(has)

    def fit(self, training: NDArray[Any]) -> Target:
        """Return the target with the means and scales of the training part's values."""
        if self.task == "classification":
            return self
        scales = training.std(0)
        return replace(
            self, means=tuple(training.mean(0).tolist()), scales=tuple(np.where(scales > 0, scales, 1.0).tolist())
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Target:
        """Return what :meth:`to_json` wrote."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in state.items()
        }
        values["styles"] = tuple(NumberStyle(**style) for style in state["styles"])
        return cls(**values)


def infer_target(frame: pl.DataFrame, columns: Sequence[str], *, task: str, positive: str, where: str) -> Target:
    """Return the target that ``columns`` hold, its task inferred unless ``task`` says it; no value is missing.

    Raises:
        DataError: when nothing can be learned: one class, one value, nearly as many classes as rows.
    """
    if len(columns) == 1 and (task == "classification" or (task == "auto" and _holds_classes(frame[columns[0]]))):
        return _classes(frame[columns[0]], positive, where)
    if task == "classification":
        raise DataError(f"{where}: {len(columns)} targets, but classification has one; name one target column")
    if positive:
        raise DataError(f"{where}: positive = '{positive}' is for classification, but target '{columns[0]}' is numbers")
    styles = []
    for name in columns:
        series = frame[name]
        style = (number_style(series) or NumberStyle()) if series.dtype == pl.String else NumberStyle()
        numbers = target_numbers(series, style, where)
        if np.ptp(numbers) == 0:
            raise DataError(f"{where}: target '{name}' is {numbers[0]:g} in every row; there is nothing to learn")
        styles.append(style)
    return Target(task="regression", columns=tuple(columns), styles=tuple(styles))


def target_numbers(series: pl.Series, style: NumberStyle, where: str) -> NDArray[np.float64]:
    """Return a target column as numbers, all of them finite.

    Raises:
        DataError: when one is not.
    """
    if series.dtype.is_temporal() or not (
        series.dtype == pl.String or series.dtype.is_numeric() or series.dtype == pl.Boolean
    ):
        raise DataError(f"{where}: target '{series.name}' holds {series.dtype}; a target holds numbers or classes")
    numbers = as_numbers(series, style)
    require_numbers(series, numbers, where, remedy="mend them, or write task = 'classification'")
    values = numbers.to_numpy()
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise DataError(f"{where}: target '{series.name}' is infinite in {count} row{'s' * (count > 1)}; mend them")
    require_moderate(f"target '{series.name}'", values, where, remedy="divide them, or take their logarithms")
    return values


def _holds_classes(series: pl.Series) -> bool:
    if is_boolean(series) or not (series.dtype == pl.String or series.dtype.is_numeric()):
        return True
    style = NumberStyle()
    if series.dtype == pl.String:
        found = number_style(series)
        if found is None:
            return True
        style = found
    numbers = as_numbers(series, style)
    different = numbers.n_unique()
    whole = numbers.is_null() | (numbers == numbers.round())
    return different <= 2 or (bool(whole.all()) and different <= min(_FEW, len(series) // 3))


def _classes(series: pl.Series, positive: str, where: str) -> Target:
    name = series.name
    if series.dtype == pl.String and is_boolean(series):
        series = _one_spelling(series)
    if series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object):
        raise DataError(f"{where}: target '{name}' holds {series.dtype}; a target holds numbers or classes")
    counts = level_counts(series)
    if len(counts) == 1:
        only = next(iter(counts))
        raise DataError(f"{where}: target '{name}' has one class only, '{only}'; there is nothing to tell apart")
    limit = min(_MOST_CLASSES, len(series) // 2)
    if len(counts) > limit and len(counts) > 2:
        raise DataError(
            f"{where}: target '{name}' has {len(counts)} different values in {len(series)} rows, too many for classes; "
            + ("write task = 'regression'" if series.dtype.is_numeric() else "is it the right column?")
        )
    classes = sorted(counts, key=_natural)
    if positive:
        if len(classes) != 2:
            raise DataError(f"{where}: positive = '{positive}' needs two classes; target '{name}' has {len(classes)}")
        if positive not in classes:
            hint = nearest(positive, classes) or f"; its classes: {', '.join(classes)}"
            raise DataError(f"{where}: target '{name}' has no class '{positive}'{hint}")
        classes.sort(key=positive.__eq__)
    return Target(task="classification", columns=(name,), classes=tuple(classes))


def _one_spelling(series: pl.Series) -> pl.Series:
    """Return yes and no, where each is written in several ways, each as it is written most often."""
    lower = series.str.to_lowercase()
    for words in (YES, NO):
        its = lower.is_in(list(words)).fill_null(False)
        spellings = series.filter(its).alias("spelling").value_counts(name="rows")
        series = series.set(its, spellings.sort("rows", "spelling", descending=[True, False])["spelling"][0])
    return series


def _natural(label: str) -> tuple[int, float, str]:
    """Numbers by size, then texts by letter."""
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)
