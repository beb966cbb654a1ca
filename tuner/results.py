"""What a study has found so far, read from its storage. Needs neither torch nor scikit-learn."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tuner import attributes
from tuner.errors import NoFinishedTrialError, UsageError
from tuner.spelling import nearest

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from storage import SQLStorage
    from tuner.confirmation import Confirmation
    from tuner.spec import StudySpec

STATES = ("waiting", "running", "interrupted", "finished", "pruned", "diverged", "failed")


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One trial as people read it."""

    number: int
    state: str
    """One of :data:`STATES`."""
    values: Mapping[str, float | None]
    """The value of each metric, by its name; of a pruned trial, the last one reported."""
    params: Mapping[str, Any]
    attributes: Mapping[str, Any]
    """What the engine or the objective noted: losses, gap, verdict, number of parameters, …"""
    started: dt.datetime | None
    """In local time, with its zone."""
    seconds: float | None
    """From start to end, or to now while it runs; ``None`` while nobody works on it."""
    constraints: Mapping[str, float] = field(default_factory=dict)
    """By name, what the trial must keep at 0 or below to be feasible; empty where nothing is constrained."""

    @property
    def feasible(self) -> bool:
        """Whether the trial keeps to all constraints."""
        return all(value <= 0 for value in self.constraints.values())

    def noted(self, key: str) -> Mapping[str, Any]:
        """Return the mapping that was noted under ``key``; empty where there is none."""
        value = self.attributes.get(key)
        return value if isinstance(value, Mapping) else {}

    @property
    def confusion_matrix(self) -> Sequence[Sequence[int]]:
        """On the validation part, by true and by predicted class; empty where there is none."""
        matrix = self.noted(attributes.VALIDATION).get("confusion_matrix")
        return matrix if isinstance(matrix, list) and all(_is_row(line, len(matrix)) for line in matrix) else []

    @property
    def examples(self) -> Sequence[Mapping[str, Any]]:
        """What the objective kept for a person to read; empty where it kept nothing."""
        examples = self.noted(attributes.FINAL).get("examples")
        return examples if isinstance(examples, list) and all(isinstance(one, Mapping) for one in examples) else []

    def to_json(self) -> dict[str, Any]:
        """Return the row with stable keys."""
        return {
            "number": self.number,
            "state": self.state,
            "values": dict(self.values),
            "params": dict(self.params),
            "attributes": dict(self.attributes),
            "constraints": dict(self.constraints),
            "started": self.started.isoformat(timespec="seconds") if self.started else None,
            "seconds": round(self.seconds, 3) if self.seconds is not None else None,
        }


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch of a trial."""

    epoch: int
    scores: Mapping[str, float]
    """``training_loss``, ``validation_loss``, ``learning_rate`` and the metrics."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """A study at a glance."""

    name: str
    counts: Mapping[str, int]
    """How many trials are in each of :data:`STATES`."""
    budget: int | None
    """The study's total of trials, ``None`` when it has none."""
    done: int
    """Trials that have ended, whatever their end."""
    workers: int
    """Workers that are alive, on any machine."""
    best: Sequence[TrialRow]
    """The best trial, or the Pareto front; empty until one has finished."""
    stopped: str | None
    """Why the last run ended, once it has."""

    def to_json(self) -> dict[str, Any]:
        """Return the status with stable keys."""
        return {
            "name": self.name,
            "counts": dict(self.counts),
            "budget": self.budget,
            "done": self.done,
            "workers": self.workers,
            "best": [row.to_json() for row in self.best],
            "stopped": self.stopped,
        }


class Results:
    """A study, read; every call sees what is new."""

    def __init__(self, storage: SQLStorage, name: str, study_id: int) -> None:
        self.storage = storage
        self.name = name
        self.study_id = study_id

    def __repr__(self) -> str:
        return f"<Results of study '{self.name}' in {self.storage.safe_url}>"

    @cached_property
    def spec(self) -> StudySpec | None:
        """The spec the study was started with; ``None`` for a study of plain Optuna."""
        return attributes.read_spec(self.storage, self.study_id)

    @cached_property
    def _is_ours(self) -> bool:
        """Whether tuner started the study: asked without reading its spec, which takes longer than the answer."""
        return attributes.SPEC in self.storage.get_study_user_attrs(self.study_id)

    @cached_property
    def directions(self) -> list[str]:
        """``minimize`` or ``maximize`` for each metric."""
        return [direction.name.lower() for direction in self.storage.get_study_directions(self.study_id)]

    @cached_property
    def metric_names(self) -> list[str]:
        """The names of what is optimised; ``value`` (or ``value_0``, …) where nobody named it."""
        names = self.storage.get_study_system_attrs(self.study_id).get(attributes.METRIC_NAMES)
        if names:
            return list(names)
        count = len(self.directions)
        return ["value"] if count == 1 else [f"value_{i}" for i in range(count)]

    def trials(self, *, sort: str = "number", descending: bool = False, state: str | None = None) -> list[TrialRow]:
        """Return the trials, sorted by ``number``, ``value``, ``seconds``, ``state``, a metric or a hyperparameter.

        By ``value`` (the first metric) the best come first, finished trials before those that are infeasible or were
        pruned. Trials without what is sorted by come last.

        Raises:
            UsageError: for an unknown state or key.
        """
        if state is not None and state not in STATES:
            raise UsageError(f"unknown state '{state}'{nearest(state, STATES) or '; known: ' + ', '.join(STATES)}")
        rows = [row for row in self._rows() if state in (None, row.state)]
        return self._sorted(rows, sort, descending)

    def best(self, limit: int = 1) -> list[TrialRow]:
        """Return the best finished trials, best first; of several metrics, the Pareto front. Only feasible ones count.

        Of those with equal values, the one is the best whose losses, on the training and on the validation part, are
        low: the larger of the two counts, for on few samples either may be low by luck.

        Raises:
            NoFinishedTrialError: when no trial has finished, or none that keeps to the constraints.
        """
        finished = [row for row in self._rows() if row.state == "finished"]
        if not finished:
            raise NoFinishedTrialError(
                f"study '{self.name}' has no finished trial yet; `tuner status` tells how it stands"
            )
        finished = [row for row in finished if row.feasible]
        if not finished:
            raise NoFinishedTrialError(f"study '{self.name}' has no finished trial that keeps to its constraints yet")
        if len(self.directions) > 1:
            return self._pareto_front(finished)
        return self._sorted(finished, "value", False)[:limit]

    def trial(self, number: int) -> TrialRow:
        """Return one trial.

        Raises:
            UsageError: when there is none of that number.
        """
        try:
            trial_id = self.storage.get_trial_id_from_study_id_trial_number(self.study_id, number)
        except KeyError:
            raise UsageError(f"study '{self.name}' has no trial {number}") from None
        abandoned = self._is_ours and self.storage.open_trials(self.study_id) == 0
        return self._row(self.storage.get_trial(trial_id), abandoned=abandoned)

    def epochs(self, number: int) -> list[Epoch]:
        """Return the epochs of a trial in order; those of a plain Optuna trial hold its reported value alone.

        Raises:
            UsageError: when there is no trial of that number.
        """
        self.trial(number)
        trial_id = self.storage.get_trial_id_from_study_id_trial_number(self.study_id, number)
        recorded = self.storage.epochs(trial_id)
        if recorded:
            return [Epoch(epoch=epoch, scores=scores) for epoch, scores in recorded]
        reported = self.storage.get_trial(trial_id).intermediate_values
        return [Epoch(epoch=step, scores={self.metric_names[0]: value}) for step, value in sorted(reported.items())]

    @property
    def confirmation(self) -> Confirmation | None:
        """What training the best trials again has found: see :func:`tuner.confirm`; ``None`` where nobody did."""
        from tuner.confirmation import Confirmation

        written = self.storage.get_study_user_attrs(self.study_id).get(attributes.CONFIRMATION)
        return None if written is None else Confirmation.from_json(written)

    def chosen(self) -> TrialRow:
        """Return the trial to use: the one that a confirmation chose, if it looked at what is now the best one.

        Raises:
            NoFinishedTrialError: see :meth:`best`.
        """
        best, confirmation = self.best()[0], self.confirmation
        if confirmation is None or confirmation.of(best.number) is None:
            return best
        return self.trial(confirmation.chosen.trial)

    @cached_property
    def data(self) -> Mapping[str, Any]:
        """What the objective found in the data (JSON); empty where it said nothing."""
        return self.storage.get_study_user_attrs(self.study_id).get(attributes.DATA) or {}

    def class_names(self, count: int) -> list[str]:
        """Return the names of ``count`` classes, in the order of a confusion matrix; their numbers if unknown."""
        target = self.data.get("target")
        classes = target.get("classes") if isinstance(target, Mapping) else None
        if isinstance(classes, Mapping):
            classes = next(iter(classes.values()), None)
        labels = [str(label) for label in classes or ()]
        return labels if len(labels) == count else [str(index) for index in range(count)]

    def status(self, rows: Sequence[TrialRow] | None = None) -> Status:
        """Return the study at a glance; ``rows`` are its :meth:`trials`, where they have been read already."""
        rows = self._rows() if rows is None else rows
        counts = Counter(row.state for row in rows)
        finished = [row for row in rows if row.state == "finished" and row.feasible]
        best: list[TrialRow] = []
        if finished and len(self.directions) == 1:
            best = self._sorted(finished, "value", False)[:1]
        elif finished:
            best = self._pareto_front(finished)
        return Status(
            name=self.name,
            counts={state: counts[state] for state in STATES},
            budget=self.storage.get_budget(self.study_id),
            done=sum(counts[state] for state in ("finished", "pruned", "diverged", "failed")),
            workers=len(self.storage.list_workers(self.study_id)),
            best=best,
            stopped=self.storage.get_study_user_attrs(self.study_id).get(attributes.STOPPED),
        )

    def _rows(self) -> list[TrialRow]:
        abandoned = self._is_ours and self.storage.open_trials(self.study_id) == 0
        frozen = self.storage.get_all_trials(self.study_id, deepcopy=False)
        return [self._row(trial, abandoned=abandoned) for trial in frozen]

    def _row(self, trial: FrozenTrial, *, abandoned: bool) -> TrialRow:
        values: list[float | None] = list(trial.values) if trial.values else []
        if not values and trial.intermediate_values:
            values = [trial.intermediate_values[max(trial.intermediate_values)]]
        values += [None] * (len(self.metric_names) - len(values))
        state = _state(trial, abandoned=abandoned)
        ended = trial.datetime_complete or (dt.datetime.now() if state == "running" else None)
        seconds = (ended - trial.datetime_start).total_seconds() if ended and trial.datetime_start else None
        return TrialRow(
            number=trial.number,
            state=state,
            values=dict(zip(self.metric_names, values, strict=False)),
            params=trial.params,
            attributes=trial.user_attrs,
            constraints=trial.constraints if trial.system_attrs else {},
            started=trial.datetime_start.astimezone() if trial.datetime_start else None,
            seconds=seconds,
        )

    def _sorted(self, rows: list[TrialRow], sort: str, descending: bool) -> list[TrialRow]:
        read = self._reader(rows, sort)
        held = [row for row in rows if _comparable(read(row))]
        rest = [row for row in rows if not _comparable(read(row))]
        best_first = sort in {"value", self.metric_names[0]} and self.directions[0] == "maximize"
        if sort in {"value", *self.metric_names}:
            held.sort(key=_larger_loss)
        try:
            held.sort(key=read, reverse=best_first != descending)  # what is equal stays in its order
        except TypeError:
            held.sort(key=lambda row: str(read(row)), reverse=best_first != descending)
        if sort in {"value", *self.metric_names}:
            held.sort(key=lambda row: row.state != "finished" or not row.feasible)  # their values are no results
        return held + rest

    def _reader(self, rows: Sequence[TrialRow], sort: str) -> Callable[[TrialRow], Any]:
        """Return what reads the sort key of a row."""
        if sort == "value":
            sort = self.metric_names[0]
        if sort in self.metric_names:
            return lambda row: row.values[sort]
        if sort in {"number", "state", "seconds"}:
            return lambda row: getattr(row, sort)
        params = {name for row in rows for name in row.params}
        if rows and sort not in params:
            known = list(dict.fromkeys(["number", "value", "seconds", "state", *self.metric_names, *sorted(params)]))
            raise UsageError(f"cannot sort by '{sort}'{nearest(sort, known) or '; known: ' + ', '.join(known)}")
        return lambda row: row.params.get(sort)

    def _pareto_front(self, rows: Sequence[TrialRow]) -> list[TrialRow]:
        import numpy as np

        signs = [1 if direction == "maximize" else -1 for direction in self.directions]
        points = np.array([[value or 0.0 for value in row.values.values()] for row in rows]) * signs
        front = [
            row
            for row, point in zip(rows, points, strict=True)
            if not ((points >= point).all(1) & (points > point).any(1)).any()
        ]
        return self._sorted(front, "value", False)


def _state(trial: FrozenTrial, *, abandoned: bool) -> str:
    """Return one of :data:`STATES`.

    A trial that somebody began and nobody works on waits in the storage with its hyperparameters.
    """
    failure = attributes.failure(trial.user_attrs)
    if trial.state.is_finished() and failure.get("class") == attributes.DIVERGED:
        return "diverged"
    if trial.state.is_finished() and failure:
        return "failed"
    if trial.state.name == "RUNNING":
        return "interrupted" if abandoned else "running"
    if trial.state.name == "WAITING":
        return "interrupted" if trial.params or trial.datetime_start else "waiting"
    return {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}[trial.state.name]


def _larger_loss(row: TrialRow) -> float:
    parts = [row.attributes.get(part) for part in (attributes.TRAINING, attributes.VALIDATION)]
    losses = [part.get("loss") if isinstance(part, dict) else None for part in parts]
    known = [loss for loss in losses if isinstance(loss, float) and not math.isnan(loss)]
    return max(known) if len(known) == len(losses) else math.inf


def _is_row(line: Any, length: int) -> bool:
    return isinstance(line, list) and len(line) == length and all(isinstance(count, int) for count in line)


def _comparable(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))
