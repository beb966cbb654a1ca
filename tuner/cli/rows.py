"""Trials as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tuner import attributes
from tuner.cli.tables import Column
from tuner.output import duration, number, score

if TYPE_CHECKING:
    from tuner.results import TrialRow

_FIRST_HYPERPARAMETERS = ("learning_rate", "optimizer", "depth", "width", "batch_size", "l1", "l2", "dropout")
"""What is shown first where there is no room for all."""
TRIAL_KEYS = ("number", "state", "values", "params", "attributes", "constraints", "started", "seconds")
"""The keys of a trial in JSON."""


def trial_columns(rows: Sequence[TrialRow], metrics: Sequence[str]) -> list[Column]:
    """Return the columns of a list of trials."""
    return [
        Column(title="trial", cells=[str(row.number) for row in rows]),
        Column(title="state", cells=[row.state for row in rows], left=True),
        *_value_columns(rows, metrics),
        *_feasible_column(rows),
        Column(title="time", cells=[duration(row.seconds) for row in rows], rank=2),
        *parameter_columns(rows, rank=3),
    ]


def outcome_columns(rows: Sequence[TrialRow], metrics: Sequence[str]) -> list[Column]:
    """Return the columns that tell what finished trials scored, whether they overfit, and what they are."""
    columns = [Column(title="trial", cells=[str(row.number) for row in rows]), *_value_columns(rows, metrics)]
    if any(attributes.VERDICT in row.attributes for row in rows):
        first = metrics[0]
        columns += [
            Column(title="in training", cells=[score(_of(row, attributes.TRAINING, first)) for row in rows], rank=1),
            Column(title="loss", cells=[score(_of(row, attributes.VALIDATION, "loss")) for row in rows], rank=4),
            Column(title="in training", cells=[score(_of(row, attributes.TRAINING, "loss")) for row in rows], rank=4),
            Column(
                title="verdict", cells=[str(row.attributes.get(attributes.VERDICT, "–")) for row in rows], left=True
            ),
        ]
        if any(attributes.EPOCHS in row.attributes for row in rows):
            weights = [_count(row.attributes.get(attributes.NETWORK_PARAMETERS)) for row in rows]
            columns += [
                Column(title="epochs", cells=[_epochs(row) for row in rows], rank=2),
                Column(title="weights", cells=weights, rank=3),
            ]
    else:
        columns.append(Column(title="time", cells=[duration(row.seconds) for row in rows], rank=2))
    return [*columns, *parameter_columns(rows, rank=5)]


def parameter_columns(rows: Sequence[TrialRow], *, rank: int) -> list[Column]:
    """Return a column for each hyperparameter; those that differ and matter most get the first ranks from ``rank``."""
    names = list(dict.fromkeys(name for row in rows for name in row.params))
    differ = {name for name in names if len({str(row.params.get(name)) for row in rows}) > 1}

    def importance(name: str) -> tuple[bool, int]:
        known = name in _FIRST_HYPERPARAMETERS
        return name not in differ, _FIRST_HYPERPARAMETERS.index(name) if known else len(_FIRST_HYPERPARAMETERS)

    ordered = sorted(names, key=importance)
    return [
        Column(
            title=name,
            cells=[number(row.params[name], digits=3) if name in row.params else "" for row in rows],
            left=any(isinstance(row.params.get(name), str) for row in rows),
            rank=rank + place,
        )
        for place, name in enumerate(ordered)
    ]


def _value_columns(rows: Sequence[TrialRow], metrics: Sequence[str]) -> list[Column]:
    return [Column(title=name, cells=[score(row.values.get(name)) for row in rows]) for name in metrics]


def _feasible_column(rows: Sequence[TrialRow]) -> list[Column]:
    if not any(row.constraints for row in rows):
        return []
    return [Column(title="feasible", cells=["yes" if row.feasible else "no" for row in rows], left=True)]


def _of(row: TrialRow, part: str, name: str) -> float | None:
    scores: dict[str, Any] = row.attributes.get(part) or {}
    value = scores.get(name)
    return value if isinstance(value, int | float) else None


def _epochs(row: TrialRow) -> str:
    trained, best = row.attributes.get(attributes.EPOCHS), row.attributes.get(attributes.BEST_EPOCH)
    if trained is None:
        return "–"
    return str(trained) if best in (None, trained) else f"{best} of {trained}"


def _count(parameters: Any) -> str:
    return f"{parameters:,}" if isinstance(parameters, int) else "–"
