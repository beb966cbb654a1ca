"""Trials asked together are different configurations: a sampler that does not propose what is in flight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optuna.distributions import FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import TrialState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

PROPOSALS = 4
"""So often the sampler may propose before chance decides."""
DRAWS = 64
"""So often chance may: then the space is as good as used up, and a repetition is what is left."""

_LEARNED_FROM = (TrialState.COMPLETE, TrialState.PRUNED)


class DistinctSampler(BaseSampler):
    """Asks another sampler, and again where its proposal is being tried at this moment.

    A model of few finished trials sends many workers to the same place, most of all in a small space of choices. For
    samplers that propose whole configurations and start at random, as TPE and GP do; where they draw each parameter
    by itself, they are left alone. In a space with a real number in it no two configurations are equal.
    """

    def __init__(self, sampler: BaseSampler, *, seed: int) -> None:
        self._sampler = sampler
        self._random = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the sampler's own; while no trial has ended, what those in flight are made of."""
        space = self._sampler.infer_relative_search_space(study, trial)
        return space or ({} if _any_ended(study) else _space_of(_in_flight(study, trial)))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a configuration that no other trial in flight has, or ``{}`` where each parameter is drawn alone."""
        if not _countable(search_space):
            return self._sampler.sample_relative(study, trial, search_space)
        taken = {_key(other.params, other.distributions) for other in _in_flight(study, trial)}
        learned = _any_ended(study)
        for _ in range(PROPOSALS if learned else 0):
            proposal = self._sampler.sample_relative(study, trial, search_space)
            if not taken or (proposal and _key(proposal, search_space) not in taken):
                return proposal
            if not proposal:
                break
        for _ in range(DRAWS):
            proposal = {
                name: self._random.sample_independent(study, trial, name, distribution)
                for name, distribution in search_space.items()
            }
            if _key(proposal, search_space) not in taken:
                break
        return proposal

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._sampler.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        self._sampler.reseed_rng()
        self._random.reseed_rng()


def _any_ended(study: Study) -> bool:
    return bool(study.get_trials(deepcopy=False, states=_LEARNED_FROM))


def _in_flight(study: Study, trial: FrozenTrial) -> list[FrozenTrial]:
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [other for other in running if other.number != trial.number and other.params]


def _space_of(trials: Sequence[FrozenTrial]) -> dict[str, BaseDistribution]:
    """Return what all of the trials are made of; nothing where they differ."""
    spaces = [{name: d for name, d in trial.distributions.items() if not d.single()} for trial in trials]
    return spaces[0] if spaces and all(space == spaces[0] for space in spaces) else {}


def _countable(space: Mapping[str, BaseDistribution]) -> bool:
    return bool(space) and not any(isinstance(d, FloatDistribution) and d.step is None for d in space.values())


def _key(params: Mapping[str, Any], space: Mapping[str, BaseDistribution]) -> frozenset[tuple[str, str]]:
    """Return what is compared of a configuration: the values that might have been others."""
    return frozenset((name, repr(value)) for name, value in params.items() if not space[name].single())
