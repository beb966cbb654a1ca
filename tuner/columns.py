"""What people read of a study as tables: columns of text, for a terminal or a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuner import attributes
from tuner.output import duration, number, printable, score

if TYPE_CHECKING:
    from tuner.confirmation import Candidate, Confirmation, Estimate
    from tuner.results import TrialRow

_FIRST_HYPERPARAMETERS = ("learning_rate", "optimizer", "depth", "width", "batch_size", "l1", "l2", "dropout")
"""What is shown first where there is no room for all."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table."""

    title: str
    cells: Sequence[str]
    left: bool = False
    """Aligned to the left, as words are; numbers are aligned to the right."""
    rank: int = 0
    """Where there is no room for all, columns of the highest rank are hidden first; rank 0 always stays."""

    @property
    def width(self) -> int:
        return max(map(len, (self.title, *self.cells)))


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


def score_columns(row: TrialRow, metrics: Sequence[str]) -> list[Column]:
    """Return the scores on the training and the validation part, what is optimised first; empty without scores."""
    training, validation = (
        {key: value for key, value in row.noted(part).items() if isinstance(value, int | float)}
        for part in (attributes.TRAINING, attributes.VALIDATION)
    )
    final = row.noted(attributes.FINAL)
    validation |= {key: value for key, value in final.items() if isinstance(value, float)}  # a count is no score
    names = list(dict.fromkeys([*metrics, "loss", *validation, *training]))
    names = [name for name in names if name in training or name in validation]
    if not names:
        return []
    return [
        Column(title="score", cells=names, left=True),
        Column(title="training", cells=[score(training.get(name)) for name in names]),
        Column(title="validation", cells=[score(validation.get(name)) for name in names]),
    ]


def example_columns(row: TrialRow) -> list[Column]:
    """Return what the objective kept for a person to read: texts and their translations, say."""
    return [
        Column(title=title, cells=[shortened(example.get(title, "")) for example in row.examples], left=True)
        for title in dict.fromkeys(key for example in row.examples for key in example)
    ]


def shortened(value: Any) -> str:
    """Return a value as text of at most 200 characters."""
    text = printable(str(value))
    return text if len(text) <= 200 else text[:199] + "…"


def candidate_columns(found: Confirmation) -> list[Column]:
    """Return what fresh seeds say of the best trials."""
    columns = [Column(title="trial", cells=[str(one.trial) for one in found.candidates])]
    for name in found.chosen.searched:
        columns += [
            Column(title=f"{name} found", cells=[score(one.searched[name]) for one in found.candidates]),
            Column(title="fresh seeds", cells=[confirmed_told(one, name) for one in found.candidates], left=True),
        ]
    if any(one.ended < found.seeds for one in found.candidates):
        columns.append(Column(title="ended well", cells=[f"{one.ended} of {found.seeds}" for one in found.candidates]))
    columns.append(Column(title="", cells=[standing(one, found) for one in found.candidates], left=True))
    return columns


def tested_columns(found: Confirmation) -> list[Column]:
    """Return what the chosen trial scores on the test part: a network alone, and all of its seeds together."""
    columns = [
        Column(title="on the test part", cells=list(found.test), left=True),
        Column(
            title="alone" if found.together else "score",
            cells=[interval(estimate) for estimate in found.test.values()],
            left=True,
        ),
    ]
    if found.together:
        cells = [interval(found.together[name]) if name in found.together else "–" for name in found.test]
        columns.append(Column(title=f"its {len(found.trainings)} together", cells=cells, left=True))
    return columns


def confirmed_told(one: Candidate, name: str) -> str:
    """Return what a candidate scores from fresh seeds."""
    return interval(one.confirmed[name]) if name in one.confirmed else "–"


def standing(one: Candidate, found: Confirmation) -> str:
    """Return how a candidate compares with the chosen one."""
    if one is found.chosen:
        return "chosen"
    return f"as good as trial {found.chosen.trial}" if one.as_good else f"worse than trial {found.chosen.trial}"


def seeds_told(found: Confirmation) -> str:
    """Return from how many seeds a candidate was trained."""
    return f"{found.seeds} fresh seed{'s' * (found.seeds != 1)}"


def caveats(found: Confirmation) -> list[str]:
    """Return what a reader should know before believing a confirmation."""
    if not found.test:
        return ["No test part judges the chosen one: the validation part chose, and so flatters."]
    if found.looks > 1:
        times = f"The test part has been looked at {found.looks} times for this study"
        return [f"{times}: to choose by what it says would spoil it."]
    return []


def interval(estimate: Estimate) -> str:
    """Return ``0.9800 ± 0.0021``: the mean over the seeds, and half of its 95 % interval."""
    if estimate.half_width is None:
        return score(estimate.mean)
    return f"{score(estimate.mean)} ± {score(estimate.half_width)}"


def _value_columns(rows: Sequence[TrialRow], metrics: Sequence[str]) -> list[Column]:
    return [Column(title=name, cells=[score(row.values.get(name)) for row in rows]) for name in metrics]


def _feasible_column(rows: Sequence[TrialRow]) -> list[Column]:
    if not any(row.constraints for row in rows):
        return []
    return [Column(title="feasible", cells=["yes" if row.feasible else "no" for row in rows], left=True)]


def _of(row: TrialRow, part: str, name: str) -> float | None:
    value = row.noted(part).get(name)
    return value if isinstance(value, int | float) else None


def _epochs(row: TrialRow) -> str:
    trained, best = row.attributes.get(attributes.EPOCHS), row.attributes.get(attributes.BEST_EPOCH)
    if trained is None:
        return "–"
    return str(trained) if best in (None, trained) else f"{best} of {trained}"


def _count(parameters: Any) -> str:
    return f"{parameters:,}" if isinstance(parameters, int) else "–"
