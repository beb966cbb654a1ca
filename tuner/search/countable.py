"""Trying every combination, of what has an end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optuna.distributions import FloatDistribution
from optuna.samplers import BruteForceSampler

from tuner.errors import SpecError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial


class CountableSampler(BruteForceSampler):
    """Optuna's, which takes a failed first trial for the last one, but that it says what it cannot enumerate."""

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return Optuna's choice.

        Raises:
            SpecError: for fractions without a step.
        """
        if isinstance(param_distribution, FloatDistribution) and param_distribution.step is None:
            raise SpecError(f"[search]: {endless(param_name, param_distribution.low, param_distribution.high)}")
        return super().sample_independent(study, trial, param_name, param_distribution)


def endless(name: str, low: float, high: float) -> str:
    """Return what to say of a range of fractions without a step."""
    return (
        f"sampler = 'brute_force' tries every value, and {name} = {low:g}..{high:g} has endlessly many; "
        "give it a step, or take sampler = 'grid'"
    )
