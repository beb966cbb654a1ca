"""Which trials' networks are kept: those that a person names, or the best ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuner import attributes
from tuner.errors import UsageError

if TYPE_CHECKING:
    from tuner.results import Results, TrialRow
    from tuner.spec import StudySpec


def asked_for(results: Results, spec: StudySpec, trials: Sequence[int], ensemble: int | None) -> list[TrialRow]:
    """Return the ``trials``, or as many of the best ones as ``ensemble``, or else ``[model] ensemble``, says.

    Raises:
        UsageError: when both are given, there are fewer, or one has not come to an end.
        NoFinishedTrialError: when no trial has finished.
    """
    if ensemble is None:
        return [ended(results, number) for number in dict.fromkeys(trials) or _ranked(results, spec.model.ensemble)]
    if trials:
        raise UsageError("--ensemble takes the best trials, and --trial those it names: give one of them")
    if ensemble < 1:
        raise UsageError(f"--ensemble {ensemble}: at least 1 is needed")
    ranked = _ranked(results, ensemble)
    if len(ranked) < ensemble:
        which = "on its Pareto front" if len(results.directions) > 1 else "to choose from"
        counted = f"{len(ranked)} trial{'s' * (len(ranked) != 1)}"
        raise UsageError(f"--ensemble {ensemble}: study '{results.name}' has {counted} {which}")
    return [ended(results, number) for number in ranked]


def ended(results: Results, trial: int | None) -> TrialRow:
    """Return a trial that has a network, the chosen one unless told otherwise.

    Raises:
        UsageError: when it has none.
        NoFinishedTrialError: when none is chosen, for none has finished.
    """
    row = results.chosen() if trial is None else results.trial(trial)
    if row.state not in ("finished", "pruned") or not row.attributes.get(attributes.EPOCHS):
        raise UsageError(f"trial {row.number} is {row.state}; only one that finished or was pruned has a network")
    return row


def best(results: Results, spec: StudySpec) -> list[int]:
    """Return the trials whose networks a run keeps in the end: the best, as many as ``[model]`` says or there are."""
    if not any(row.state == "finished" and row.feasible for row in results.trials()):
        return []
    return [row.number for row in results.best(spec.model.ensemble)[: spec.model.ensemble]]


def _ranked(results: Results, count: int) -> list[int]:
    """Return so many of the best trials, or as many as there are, the chosen one first."""
    chosen = results.chosen().number
    others = [row.number for row in results.best(count)[:count] if row.number != chosen]
    return [chosen, *others][:count]
