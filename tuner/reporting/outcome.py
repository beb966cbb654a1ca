"""What came out of a study, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tuner import attributes
from tuner.columns import interval, seeds_told
from tuner.output import score

if TYPE_CHECKING:
    from tuner.confirmation import Confirmation
    from tuner.reporting.snapshot import Snapshot
    from tuner.results import TrialRow


def sentences(study: Snapshot) -> Iterator[str]:
    """Yield what came out: the trial to use, what it scores, and how much of that is luck."""
    confirmation, best = study.confirmation, study.best[0]
    if confirmation is not None and confirmation.of(best.number) is not None:
        yield _confirmed(confirmation)
    else:
        yield _found(study)
        yield from _luck(study)
    yield from _brought(study)


def _confirmed(found: Confirmation) -> str:
    chosen, metric = found.chosen, next(iter(found.chosen.searched))
    part = " on the validation part" if found.test else ""
    said = f"Trial {chosen.trial} is the one to use: {metric} {interval(chosen.confirmed[metric])} from "
    said += f"{seeds_told(found)}{part}"
    if metric in found.test:
        said += f", and {interval(found.test[metric])} on the {found.test_samples} samples of the test part"
    return f"{said}. In the search it had scored {score(chosen.searched[metric])}."


def _found(study: Snapshot) -> str:
    chosen, finished = study.chosen, len(study.finished)
    part = " on the validation part" if attributes.VALIDATION in chosen.attributes else ""
    if len(study.metrics) > 1:
        return (
            f"The Pareto front holds {len(study.best)} of the {finished} trials that finished: no other is better in "
            f"one metric and not worse in the rest. The first, trial {chosen.number}, has {_values(chosen)}{part}."
        )
    return f"Trial {chosen.number} is the best of {finished} that finished: {_values(chosen)}{part}."


def _luck(study: Snapshot) -> Iterator[str]:
    finished = len(study.finished)
    if finished == 1:
        return
    confirm = study.command("confirm", study.name)
    if study.confirmation is not None:
        yield f"It was found after the confirmation below; `{confirm}` confirms the trials that are best now."
    elif study.of_network:
        yield f"The best of {finished} scores is in part luck; `{confirm}` tells how much."
    elif study.spec:
        yield f"Where the objective has chance in it, the best of {finished} is in part luck: `{confirm}` tells."
    else:
        yield f"Where the objective has chance in it, the best of {finished} is in part luck: expect less of it."


def _brought(study: Snapshot) -> Iterator[str]:
    usual = study.usual
    if usual is None:
        return
    if usual.number == study.chosen.number:
        yield "It has the usual configuration: nothing better was found."
    else:
        yield f"The usual configuration (trial {usual.number}) scored {_values(usual)} in the search."


def _values(row: TrialRow) -> str:
    return ", ".join(f"{name} {score(value)}" for name, value in row.values.items())
