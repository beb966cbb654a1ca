"""Axes that a person reads: their scale, their ticks, and what lies outside."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from tuner.output import number

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from tuner.results import TrialRow

ORDERS = 50
"""A logarithmic axis pays where values are so many times the best one."""
_FEW = 10
"""Of so few whole numbers each has its tick."""
_LONG = 20
"""Characters of a label on an axis."""
_FAR = 2.0
"""A value is far off when it is so many times as far from the best one as nine in ten are."""


def zoom(figure: go.Figure, values: Sequence[float | None], direction: str, *, axis: str = "y") -> None:
    """Make room for the best values, which others would flatten.

    What approaches 0 over orders of magnitude is drawn on a logarithmic axis; else what is far worse than nine in ten
    is left outside, where zooming out finds it.
    """
    sign = 1 if direction == "minimize" else -1
    distances = [sign * value for value in values if value is not None and math.isfinite(value)]
    if len(distances) < 10:
        return
    best, most = min(distances), quantiles(distances, n=10)[-1]
    limit = best + _FAR * (most - best)
    settings: dict[str, Any] = {}
    if best > 0 and most > ORDERS * best:
        settings = logarithmic(best, max(distances))
    elif most > best and max(distances) > limit:
        ends = (best - 0.06 * (limit - best), limit)
        settings = {"range": sorted(sign * end for end in ends)}
    figure.update_layout({f"{axis}axis": settings})


def logarithmic(low: float, high: float) -> dict[str, Any]:
    """Return a logarithmic axis with ticks that a person reads: at powers of ten, and between them if there are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high < 50 * low else (1, 3) if high < 1e3 * low else (1,)
    every = 1 + len(decades) // 8
    values = [step * 10.0**power for power in decades if power % every == 0 for step in steps]
    return {"type": "log", "tickvals": values, "ticktext": [written(value).replace(".0e", "e") for value in values]}


def axis_of(name: str, distribution: BaseDistribution, values: Sequence[Any]) -> dict[str, Any]:
    """Return the axis of a hyperparameter with such values: categories, whole numbers, logarithmic if searched so."""
    axis: dict[str, Any] = {"title": {"text": name}}
    if not values:
        return axis
    if isinstance(distribution, CategoricalDistribution):
        choices = [written(choice) for choice in distribution.choices]
        labels = {"tickvals": choices, "ticktext": [short(choice) for choice in choices]}
        return axis | {"type": "category", "categoryorder": "array", "categoryarray": choices, **labels}
    if getattr(distribution, "log", False):
        return axis | logarithmic(min(values), max(values))
    return axis | (whole_numbers(values) if isinstance(distribution, IntDistribution) else {})


def whole_numbers(values: Sequence[int]) -> dict[str, Any]:
    """Return the ticks of whole numbers: no fractions between them."""
    return {"dtick": 1} if values and max(values) - min(values) < _FEW else {}


def places_on(distribution: BaseDistribution, rows: Sequence[TrialRow], name: str) -> dict[str, float]:
    """Return where the values of a hyperparameter lie on its axis, from 0 to 1, by how they are written."""
    if isinstance(distribution, CategoricalDistribution):
        choices = [written(choice) for choice in distribution.choices]
        return {choice: place / max(1, len(choices) - 1) for place, choice in enumerate(choices)}
    log = getattr(distribution, "log", False)
    values = {row.params[name] for row in rows if name in row.params}
    scaled = {value: math.log(value) if log else float(value) for value in values}
    low, high = min(scaled.values()), max(scaled.values())
    return {written(value): (at - low) / (high - low) if high > low else 0.5 for value, at in scaled.items()}


def written(value: Any) -> str:
    """Return a hyperparameter as an axis has it."""
    return number(value, digits=3)


def short(label: str) -> str:
    """Return a label that leaves room for the others: its beginning and its end."""
    return label if len(label) <= _LONG else f"{label[: _LONG // 2]}…{label[-_LONG // 2 :]}"


def ticks(distribution: BaseDistribution, places: Mapping[str, float]) -> list[str]:
    """Return the values that are written beside an axis: all choices, or both ends of a range."""
    if isinstance(distribution, CategoricalDistribution):
        return list(places)
    return list(dict.fromkeys((min(places, key=places.__getitem__), max(places, key=places.__getitem__))))


def finite(*values: float | None) -> bool:
    """Whether all values are there to be drawn."""
    return all(value is not None and math.isfinite(value) for value in values)
