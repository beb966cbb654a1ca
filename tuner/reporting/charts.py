"""The charts of a report. What they say is plain text: :mod:`tuner.reporting.page` escapes all of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from tuner.output import params_line, score
from tuner.reporting.axes import (
    ORDERS,
    axis_of,
    finite,
    logarithmic,
    places_on,
    short,
    ticks,
    whole_numbers,
    written,
    zoom,
)

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from tuner.confirmation import Confirmation
    from tuner.reporting.importance import Importance
    from tuner.results import Epoch, TrialRow

BLUE, ORANGE, GREY = "#3b7dd8", "#e07b39", "#9aa1ab"
"""They read on white and on black, and apart for those who do not see all colours."""
HEIGHT, LOW_HEIGHT = 340, 260
"""Pixels of a chart, and of a small one."""
MOST_LINES = 200
"""Of more configurations some are drawn: all of them would be a grey wall."""


def history(
    rows: Sequence[TrialRow], drawn: Sequence[TrialRow], metric: str, direction: str, usual: TrialRow | None
) -> go.Figure:
    """Return the values of the trials that are drawn, and the best so far of all."""
    finished = [row for row in drawn if row.state == "finished"]
    feasible = [row for row in finished if row.feasible]
    xaxis = {"title": {"text": "trial"}, **whole_numbers([row.number for row in rows])}
    figure = _figure(xaxis=xaxis, yaxis_title=metric)
    kinds = {
        "finished": (feasible, {"color": BLUE, "size": 7}),
        "infeasible": ([row for row in finished if not row.feasible], {"color": ORANGE, "symbol": "x", "size": 7}),
        "pruned (last report)": (
            [row for row in drawn if row.state == "pruned"],
            {"color": GREY, "symbol": "line-ew-open", "size": 8},
        ),
        "usual configuration": ([usual] if usual else [], {"color": ORANGE, "symbol": "diamond-open", "size": 13}),
    }
    for name, (of_kind, marker) in kinds.items():
        shown = [row for row in of_kind if finite(row.values[metric])]
        if shown:
            _dots(figure, shown, [row.number for row in shown], metric, name=name, marker=marker)
    steps = list(_best_so_far([row for row in rows if row.state == "finished" and row.feasible], metric, direction))
    last = max((row.number for row in rows), default=0)
    figure.add_scatter(
        x=[*(step[0] for step in steps), last],
        y=[*(step[1] for step in steps), *(step[1] for step in steps[-1:])],
        mode="lines",
        line={"shape": "hv", "color": BLUE, "width": 1.5},
        name="best so far",
        hoverinfo="skip",
    )
    zoom(figure, [row.values[metric] for row in feasible], direction)
    return figure


def front(rows: Sequence[TrialRow], best: Sequence[TrialRow], directions: Mapping[str, str]) -> go.Figure:
    """Return two metrics of each finished trial against each other, the Pareto front marked."""
    across, up = directions
    figure = _figure(xaxis_title=across, yaxis_title=up)
    on_front = {row.number for row in best}
    finished = [row for row in rows if row.state == "finished" and finite(row.values[across], row.values[up])]
    for name, shown, marker in (
        ("finished", [row for row in finished if row.number not in on_front], {"color": GREY, "size": 7}),
        ("on the Pareto front", [row for row in finished if row.number in on_front], {"color": BLUE, "size": 11}),
    ):
        _dots(figure, shown, [row.values[across] for row in shown], up, name=name, marker=marker)
    zoom(figure, [row.values[across] for row in finished], directions[across], axis="x")
    zoom(figure, [row.values[up] for row in finished], directions[up])
    return figure


def importance(found: Sequence[Importance]) -> go.Figure:
    """Return how much each hyperparameter mattered, and what chance gives."""
    shown = list(reversed(found))
    figure = _figure(height=90 + 24 * len(shown), xaxis={"tickformat": ".0%", "rangemode": "tozero"})
    figure.add_bar(
        x=[one.share for one in shown],
        y=[one.name for one in shown],
        orientation="h",
        marker={"color": [BLUE if one.beyond_chance else GREY for one in shown]},
        text=[f"{one.name}: {one.share:.0%}; chance gives up to {one.chance:.0%}" for one in shown],
        textposition="none",
        hoverinfo="text",
        name="importance",
    )
    figure.add_scatter(
        x=[one.chance for one in shown],
        y=[one.name for one in shown],
        mode="markers",
        marker={"symbol": "line-ns-open", "size": 14, "color": ORANGE, "line": {"width": 2}},
        hoverinfo="skip",
        name="chance gives up to",
    )
    return figure


def slice_of(
    rows: Sequence[TrialRow], name: str, distribution: BaseDistribution, metric: str, direction: str
) -> go.Figure:
    """Return the metric against one hyperparameter; later trials are darker."""
    shown = [row for row in rows if row.state == "finished" and name in row.params and finite(row.values[metric])]
    values = [row.params[name] for row in shown]
    axis = axis_of(name, distribution, values)
    figure = _figure(height=LOW_HEIGHT, xaxis=axis, yaxis_title=metric, showlegend=False)
    marker = {
        "size": 7,
        "color": [row.number for row in shown],
        "colorscale": [[0, "#b9d3f5"], [1, "#1d4f9c"]],
        "line": {"width": 0.5, "color": GREY},
    }
    if axis.get("type") == "category":
        values = [written(value) for value in values]
    _dots(figure, shown, values, metric, name=name, marker=marker)
    zoom(figure, [row.values[metric] for row in shown], direction)
    return figure


def parallel(
    rows: Sequence[TrialRow], best: Sequence[TrialRow], distributions: Mapping[str, BaseDistribution]
) -> go.Figure:
    """Return configurations as lines through their hyperparameters, the best ones above the others."""
    names = list(distributions)
    places = {name: places_on(distributions[name], rows, name) for name in names}
    figure = _figure(
        xaxis={"tickvals": list(range(len(names))), "ticktext": names, "range": [-0.35, len(names) - 0.65]},
        yaxis={"visible": False, "range": [-0.06, 1.06]},
    )
    numbers = {row.number for row in best}
    others = [row for row in rows if row.number not in numbers]
    others = others[:: 1 + len(others) // MOST_LINES]
    for said, shown, color, width in (("others", others, GREY, 0.7), (f"the best {len(best)}", best, BLUE, 2)):
        x: list[float | None] = []
        y: list[float | None] = []
        for row in shown:
            x += [*range(len(names)), None]
            held = [written(row.params[name]) if name in row.params else None for name in names]
            y += [
                *(
                    places[name].get(value) if value is not None else None
                    for name, value in zip(names, held, strict=True)
                ),
                None,
            ]
        figure.add_scatter(
            x=x, y=y, mode="lines", line={"color": color, "width": width}, name=said, hoverinfo="skip", opacity=0.75
        )
    for at, name in enumerate(names):
        figure.add_shape(type="line", x0=at, x1=at, y0=0, y1=1, line={"color": GREY, "width": 1}, layer="below")
        for tick in ticks(distributions[name], places[name]):
            figure.add_annotation(
                x=at, y=places[name][tick], text=short(tick), showarrow=False, xanchor="right", xshift=-4
            )
    return figure


def curve(epochs: Sequence[Epoch], names: Sequence[str], *, best: int | None, title: str, unit: str) -> go.Figure:
    """Return scores by epoch, or what else the ``unit`` is; the first of several is dashed."""
    xaxis = {"title": {"text": unit}, **whole_numbers([epoch.epoch for epoch in epochs])}
    figure = _figure(xaxis=xaxis, yaxis_title=title, showlegend=len(names) > 1)
    dashed = {"color": GREY, "dash": "dash", "width": 2}
    values: list[float] = []
    for name in names:
        held = [(epoch.epoch, epoch.scores[name]) for epoch in epochs if finite(epoch.scores.get(name))]
        values += [value for _, value in held]
        figure.add_scatter(
            x=[at for at, _ in held],
            y=[value for _, value in held],
            mode="lines+markers",
            marker={"size": 4},
            line=dashed if len(names) > 1 and name == names[0] else {"color": BLUE, "width": 2},
            text=[f"{unit} {at}: {name} {score(value)}" for at, value in held],
            hoverinfo="text",
            name=name.replace("_", " "),
        )
    if values and min(values) > 0 and max(values) > ORDERS * min(values):
        figure.update_yaxes(logarithmic(min(values), max(values)))
    if best is not None:
        figure.add_vline(x=best, line={"color": ORANGE, "width": 1.5, "dash": "dot"})
        figure.add_annotation(
            x=best, y=1, yref="paper", xanchor="left", yanchor="top", text=f"best epoch {best}", showarrow=False
        )
    return figure


def seeds(found: Confirmation, metric: str) -> go.Figure:
    """Return what each fresh seed scores, with mean and interval, beside what the search had found."""
    shown = [one for one in reversed(found.candidates) if metric in one.confirmed]
    figure = _figure(height=110 + 44 * len(shown), xaxis_title=metric, yaxis={"type": "category"})
    label = {one.trial: f"trial {one.trial}" for one in shown}
    every = [(label[one.trial], value) for one in shown for value in one.confirmed[metric].scores]
    figure.add_scatter(
        x=[value for _, value in every],
        y=[name for name, _ in every],
        mode="markers",
        marker={"color": BLUE, "size": 8, "opacity": 0.45},
        text=[score(value) for _, value in every],
        hoverinfo="text",
        name="a fresh seed",
    )
    means = [(label[one.trial], one.confirmed[metric]) for one in shown]
    figure.add_scatter(
        x=[estimate.mean for _, estimate in means],
        y=[name for name, _ in means],
        error_x={"type": "data", "array": [estimate.half_width or 0 for _, estimate in means], "color": BLUE},
        mode="markers",
        marker={"color": BLUE, "symbol": "line-ns-open", "size": 14, "line": {"width": 3}},
        hoverinfo="skip",
        name="mean, 95 % interval",
    )
    figure.add_scatter(
        x=[one.searched[metric] for one in shown],
        y=[label[one.trial] for one in shown],
        mode="markers",
        marker={"color": ORANGE, "symbol": "diamond-open", "size": 11, "line": {"width": 2}},
        text=[f"in the search: {score(one.searched[metric])}" for one in shown],
        hoverinfo="text",
        name="in the search",
    )
    return figure


def _figure(*, height: int = HEIGHT, **layout: Any) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        template=None,
        height=height,
        margin={"l": 56, "r": 12, "t": 8 if layout.get("showlegend") is False else 34, "b": 48},
        font={"size": 12, "family": "system-ui, sans-serif"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hovermode="closest",
        hoverlabel={"bgcolor": "#222", "font": {"color": "#fff"}},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
    )
    axis = {"gridcolor": "rgba(128,128,128,0.25)", "zeroline": False, "automargin": True, "exponentformat": "e"}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    figure.update_layout(**layout)
    return figure


def _dots(
    figure: go.Figure, rows: Sequence[TrialRow], x: Sequence[Any], metric: str, *, name: str, marker: Mapping[str, Any]
) -> None:
    figure.add_scatter(
        x=list(x),
        y=[row.values[metric] for row in rows],
        mode="markers",
        marker=marker,
        text=[_told(row) for row in rows],
        hoverinfo="text",
        name=name,
    )


def _told(row: TrialRow) -> str:
    values = ", ".join(f"{name} {score(value)}" for name, value in row.values.items())
    return f"trial {row.number}: {values}" + (f"; {params_line(row.params)}" if row.params else "")


def _best_so_far(rows: Sequence[TrialRow], metric: str, direction: str) -> Iterator[tuple[int, float]]:
    """Yield each improvement, as the number of its trial and the value."""
    best: float | None = None
    for row in rows:
        value = row.values[metric]
        if value is None or not math.isfinite(value):
            continue
        if best is None or (value > best if direction == "maximize" else value < best):
            best = value
            yield row.number, value
