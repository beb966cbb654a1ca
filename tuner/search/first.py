"""Configurations that a study's first trials have, before the sampler proposes any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from tuner import attributes
from tuner.errors import UsageError
from tuner.space import Choices, Parameter, Range

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from tuner.space import Scalar


class FirstSampler(BaseSampler):
    """Gives the trial with number ``k`` the configuration ``first[k]``, and asks another sampler for everything else.

    It goes by the trial's number alone: any worker gives a trial the same, also when it begins again.
    """

    def __init__(self, sampler: BaseSampler, first: Sequence[Mapping[str, Scalar]], *, note_unused: bool) -> None:
        self._sampler = sampler
        self._first = tuple(first)
        self._note_unused = note_unused

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the sampler's own; nothing for the first trials, each of whose parameters is asked for alone."""
        space = self._sampler.infer_relative_search_space(study, trial)  # which some remember until sample_relative()
        return {} if self._is_first(trial) else space

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return what the sampler proposes; for the first trials nothing, though it may note their generation."""
        proposal = self._sampler.sample_relative(study, trial, search_space)
        return {} if self._is_first(trial) else proposal

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return what the trial's configuration names, else what the sampler draws.

        Raises:
            UsageError: when the named value is none of the distribution's.
        """
        if not self._is_first(trial) or param_name not in self._first[trial.number]:
            return self._sampler.sample_independent(study, trial, param_name, param_distribution)
        value = self._first[trial.number][param_name]
        try:
            return _parameter(param_distribution).take(value)
        except ValueError as error:
            raise UsageError(f"[search] first: {param_name} = {value!r} {error}") from None

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Note with the trial what of its configuration it did not ask for: a misspelt name, say."""
        self._sampler.after_trial(study, trial, state, values)
        if self._note_unused and state != TrialState.FAIL and (unused := list(self._unused(trial))):
            before = trial.user_attrs.get(attributes.WARNINGS, [])
            warnings = [*(before if isinstance(before, list) else [before]), *unused]
            study._storage.set_trial_user_attr(trial._trial_id, attributes.WARNINGS, warnings)

    def reseed_rng(self) -> None:
        self._sampler.reseed_rng()

    def _is_first(self, trial: FrozenTrial) -> bool:
        return trial.number < len(self._first)

    def _unused(self, trial: FrozenTrial) -> Iterator[str]:
        for name, value in self._first[trial.number].items() if self._is_first(trial) else ():
            if name not in trial.params:
                yield f"[search] first: {name} = {value!r} was not used: the trial did not ask for it"
            elif trial.params[name] != value:  # Optuna asks no sampler where there is one value alone
                yield f"[search] first: {name} = {value!r} was not used: {trial.params[name]!r} is all there is"


def _parameter(distribution: BaseDistribution) -> Parameter:
    """Return what a study file would hold for what a trial asks for."""
    if isinstance(distribution, CategoricalDistribution):
        return Choices(choices=tuple(distribution.choices))
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    integer = isinstance(distribution, IntDistribution)
    step = None if integer and distribution.step == 1 else distribution.step
    return Range(low=distribution.low, high=distribution.high, log=distribution.log, step=step, integer=integer)
