"""Optuna's pruners at a cost that does not grow with the study; every decision is Optuna's.

Optuna's pruners read all trials at every check. These keep an index, fed once with each trial that finishes,
and look at the few trials that are open. ``at_scale(pruner)`` turns a pruner into its indexed twin.

The trials another worker finished are noticed within :data:`FRESHNESS` seconds, this worker's at once.
"""

from __future__ import annotations

import binascii
import bisect
import copy
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from optuna.pruners import _percentile as percentile
from optuna.pruners import _successive_halving as halving
from optuna.study import Study, StudyDirection
from optuna.trial import TrialState

from storage import SQLStorage

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

T = TypeVar("T")

FRESHNESS = 0.2  # seconds that the news of other workers' trials may be old
_RUNG = "completed_rung_"  # Optuna's prefix of the attribute in which a trial keeps its value at a rung


def at_scale(pruner: BasePruner) -> BasePruner:
    """Return the indexed twin of one of Optuna's pruners, or the pruner itself where it needs none."""
    twin = _TWINS.get(type(pruner))
    if twin is None:
        return pruner
    made: BasePruner = twin.__new__(twin)
    made.__dict__.update(
        {key: copy.copy(value) if isinstance(value, list) else value for key, value in vars(pruner).items()}
    )
    if isinstance(made, PatientPruner) and made._wrapped_pruner is not None:
        made._wrapped_pruner = at_scale(made._wrapped_pruner)
    return made


class _Indexed(BasePruner):
    """What the indexed pruners share: an index for each study, left behind when the pruner is copied."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_kept"}

    def _of_study(self, study: Study, make: Callable[[], T]) -> T:
        """Return what is kept for the study, made at first."""
        kept: WeakKeyDictionary[Study, dict[Any, Any]] = self.__dict__.setdefault("_kept", WeakKeyDictionary())
        of_study = kept.setdefault(study, {})
        if make not in of_study:
            of_study[make] = make()
        made: T = of_study[make]
        return made


class Curves:
    """The reports of the completed trials, sorted at each step."""

    def __init__(self) -> None:
        self.cursor = 0
        self.completed = 0
        self._steps: dict[int, tuple[list[float], list[int]]] = defaultdict(lambda: ([], [0]))

    def add(self, trials: Iterable[FrozenTrial]) -> None:
        """Take in newly finished trials."""
        for trial in trials:
            if trial.state is not TrialState.COMPLETE:
                continue
            self.completed += 1
            for step, value in trial.intermediate_values.items():
                numbers, unknown = self._steps[step]
                if math.isnan(value):
                    unknown[0] += 1
                else:
                    bisect.insort(numbers, value)

    def percentile(self, step: int, q: float, least: int) -> float:
        """Return numpy's ``nanpercentile`` of the values at the step; NaN where fewer than ``least`` reported."""
        numbers, unknown = self._steps.get(step, ([], [0]))
        if len(numbers) + unknown[0] < least or not numbers:
            return math.nan
        place = (q / 100) * (len(numbers) - 1)
        below = min(math.floor(place), len(numbers) - 1)
        if place >= len(numbers) - 1:
            low = high = numbers[-1]
            weight = 1.0
        else:
            low, high, weight = numbers[below], numbers[below + 1], place - below
        if weight >= 0.5:  # as numpy interpolates, to the last bit
            return high - (high - low) * (1 - weight)
        return low + (high - low) * weight


class IndexedPercentilePruner(_Indexed, PercentilePruner):
    """:class:`optuna.pruners.PercentilePruner` over :class:`Curves`."""

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        storage = study._storage
        if not isinstance(storage, SQLStorage):
            return super().prune(study, trial)
        curves = self._of_study(study, Curves)
        new, curves.cursor = storage.finished_since(study._study_id, curves.cursor, max_age=FRESHNESS)
        curves.add(new)
        step = trial.last_step
        if curves.completed == 0 or curves.completed < self._n_startup_trials or step is None:
            return False
        if step < self._n_warmup_steps or not self._is_due(step, trial):
            return False
        maximize = study.direction is StudyDirection.MAXIMIZE
        best = _best(trial.intermediate_values.values(), maximize)
        if best is None:
            return True
        q = 100 - self._percentile if maximize else self._percentile
        bar = curves.percentile(step, q, self._n_min_trials)
        if math.isnan(bar):
            return False
        return best < bar if maximize else best > bar

    def _is_due(self, step: int, trial: FrozenTrial) -> bool:
        if self._interval_steps == 1:  # every step is
            return True
        steps = trial.intermediate_values.keys()
        return percentile._is_first_in_interval_step(step, steps, self._n_warmup_steps, self._interval_steps)


def _best(values: Collection[float], maximize: bool) -> float | None:
    """Return the best of the values that are numbers, if any is."""
    if math.isnan(sum(values)):
        values = [value for value in values if not math.isnan(value)]
    if not values:
        return None
    return max(values) if maximize else min(values)


class IndexedMedianPruner(IndexedPercentilePruner, MedianPruner):
    """:class:`optuna.pruners.MedianPruner` over :class:`Curves`."""


class Rungs:
    """What finished trials scored at each rung, sorted; and how far the completed ones went."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = defaultdict(list)
        self.last_step: int | None = None

    def add(self, trial: FrozenTrial) -> None:
        """Take in a newly finished trial."""
        for key, value in trial.system_attrs.items():
            if key.startswith(_RUNG):
                bisect.insort(self.values[key], value)
        step = trial.last_step
        if trial.state is TrialState.COMPLETE and step is not None:
            self.last_step = step if self.last_step is None else max(self.last_step, step)


class Brackets:
    """:class:`Rungs` for each bracket of a study."""

    def __init__(self) -> None:
        self.cursor = 0
        self.rungs: dict[int, Rungs] = defaultdict(Rungs)

    def update(self, study: Study, bracket_of: Callable[[FrozenTrial], int]) -> None:
        """Take in what has finished since."""
        storage: Any = study._storage
        new, self.cursor = storage.finished_since(study._study_id, self.cursor, max_age=FRESHNESS)
        for trial in new:
            self.rungs[bracket_of(trial)].add(trial)


class IndexedSuccessiveHalvingPruner(_Indexed, SuccessiveHalvingPruner):
    """:class:`optuna.pruners.SuccessiveHalvingPruner` over :class:`Rungs`."""

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        if not isinstance(study._storage, SQLStorage):
            return super().prune(study, trial)
        brackets = self._of_study(study, Brackets)
        brackets.update(study, lambda _: 0)
        return self.prune_among(brackets.rungs[0], study, trial, lambda _: True)

    def prune_among(
        self, rungs: Rungs, study: Study, trial: FrozenTrial, competes: Callable[[FrozenTrial], bool]
    ) -> bool:
        """Decide among the finished trials of ``rungs`` and the open ones that compete."""
        step = trial.last_step
        if self._min_resource is None and rungs.last_step is not None:
            self._min_resource = max(rungs.last_step // 100, 1)
        if step is None or self._min_resource is None or step < self._rung_step(self._min_resource, 0):
            return False
        rung = halving._get_current_rung(trial)
        value = trial.intermediate_values[step]
        rivals: list[FrozenTrial] | None = None
        while step >= self._rung_step(self._min_resource, rung):
            if math.isnan(value):
                return True
            if rivals is None:
                rivals = _rivals(study, trial, competes)
            key = halving._completed_rung_key(rung)
            study._storage.set_trial_system_attr(trial._trial_id, key, value)
            running = [other.system_attrs[key] for other in rivals if key in other.system_attrs]
            competing = _Merged(rungs.values.get(key, []), [*running, value])
            if not self._promoted(competing, study.direction, value):
                return True
            rung += 1
        return False

    def _rung_step(self, min_resource: int, rung: int) -> int:
        return int(min_resource * self._reduction_factor ** (self._min_early_stopping_rate + rung))

    def _promoted(self, competing: _Merged, direction: StudyDirection, value: float) -> bool:
        """Whether the value is among the best of the rung."""
        if len(competing) <= self._bootstrap_count:
            return False
        place = max(len(competing) // self._reduction_factor - 1, 0)
        if direction is StudyDirection.MAXIMIZE:
            return value >= competing[len(competing) - 1 - place]
        return value <= competing[place]


def _rivals(study: Study, trial: FrozenTrial, competes: Callable[[FrozenTrial], bool]) -> list[FrozenTrial]:
    storage: Any = study._storage
    others = storage.open_now(study._study_id, max_age=FRESHNESS)
    return [other for other in others if other._trial_id != trial._trial_id and competes(other)]


class _Merged:
    """A long sorted list and a short one, as one sorted list."""

    def __init__(self, long: list[float], short: list[float]) -> None:
        self._long = long
        self._short = sorted(short)
        self._places = [bisect.bisect_right(long, value) + i for i, value in enumerate(self._short)]

    def __len__(self) -> int:
        return len(self._long) + len(self._short)

    def __getitem__(self, place: int) -> float:
        before = bisect.bisect_left(self._places, place)
        if before < len(self._places) and self._places[before] == place:
            return self._short[before]
        return self._long[place - before]


class IndexedHyperbandPruner(_Indexed, HyperbandPruner):
    """:class:`optuna.pruners.HyperbandPruner` over :class:`Rungs`, a set for each bracket."""

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        if not isinstance(study._storage, SQLStorage):
            return super().prune(study, trial)
        if not self._pruners:
            self._try_initialization(study)
            if not self._pruners:
                return False
            self._pruners = [_halving_twin(pruner) for pruner in self._pruners]

        def bracket_of(other: FrozenTrial) -> int:
            return self._get_bracket_id(study, other)

        brackets = self._of_study(study, Brackets)
        brackets.update(study, bracket_of)
        mine = bracket_of(trial)
        pruner = self._pruners[mine]
        assert isinstance(pruner, IndexedSuccessiveHalvingPruner)
        return pruner.prune_among(brackets.rungs[mine], study, trial, lambda other: bracket_of(other) == mine)

    def _get_bracket_id(self, study: Study, trial: FrozenTrial) -> int:
        if not self._pruners:
            return 0
        n = binascii.crc32(f"{study.study_name}_{trial.number}".encode()) % self._total_trial_allocation_budget
        for bracket, budget in enumerate(self._trial_allocation_budgets):
            n -= budget
            if n < 0:
                return bracket
        raise AssertionError("the budgets of the brackets add up to the total")

    def _create_bracket_study(self, study: Study, bracket_id: int) -> Study:
        # Optuna makes a class and a study for every parameter it suggests; one a bracket is the same.
        made = self._of_study(study, dict)
        if bracket_id not in made:
            made[bracket_id] = super()._create_bracket_study(study, bracket_id)
            made[bracket_id]._thread_local = study._thread_local
        bracket_study: Study = made[bracket_id]
        return bracket_study


def _halving_twin(pruner: SuccessiveHalvingPruner) -> IndexedSuccessiveHalvingPruner:
    twin = at_scale(pruner)
    assert isinstance(twin, IndexedSuccessiveHalvingPruner)
    return twin


_TWINS: dict[type[BasePruner], type[BasePruner]] = {
    PercentilePruner: IndexedPercentilePruner,
    MedianPruner: IndexedMedianPruner,
    SuccessiveHalvingPruner: IndexedSuccessiveHalvingPruner,
    HyperbandPruner: IndexedHyperbandPruner,
    PatientPruner: PatientPruner,
}
