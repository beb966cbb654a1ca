"""Which hyperparameters mattered, and how much of it may be chance."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

LEAST_TRIALS = 20
"""Of fewer finished trials nothing is told."""
LEAST_BEST = 5
"""So many trials at least are the best, with which the others are compared; else the best tenth."""
SHUFFLES = 50
"""So often the scores are dealt out anew to see what chance gives."""
CHANCE_LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Importance:
    """How much one hyperparameter mattered."""

    name: str
    share: float
    """Of the importance of all hyperparameters; they sum to 1."""
    chance: float
    """What chance exceeds in 5 % of the cases, on the same scale."""

    @property
    def beyond_chance(self) -> bool:
        """Whether it is more than what scores that say nothing would give."""
        return self.share > self.chance


def importances(study: Study, metric: int) -> Sequence[Importance] | str:
    """Return the importance of each hyperparameter for one metric of a study, most important first; or why not.

    By PED-ANOVA (Watanabe et al. 2023), which compares the values that the best trials have with those of all finished
    ones, and so takes hyperparameters that only some trials have, as fANOVA does not.
    """
    finished = _finished(study, metric)
    if len(finished) < LEAST_TRIALS:
        return f"{len(finished)} trials finished; {LEAST_TRIALS} are needed to tell which hyperparameters mattered"
    values = {trial.number: trial.values[metric] for trial in finished}
    try:
        found = _evaluated(study, metric, values)
        by_chance = [_evaluated(study, metric, _dealt(values, seed)) for seed in range(SHUFFLES)]
    except (ValueError, RuntimeError) as error:
        return f"Optuna cannot tell which hyperparameters mattered: {error}"
    whole = sum(found.values())
    if whole == 0:
        return "no hyperparameter tells the best trials from the others"
    return [
        Importance(
            name=name,
            share=importance / whole,
            chance=sorted(one[name] for one in by_chance)[int(CHANCE_LEVEL * SHUFFLES)] / whole,
        )
        for name, importance in sorted(found.items(), key=lambda item: -item[1])
    ]


def best_count(finished: int) -> int:
    """Return how many trials are the best, with which the others are compared."""
    return max(LEAST_BEST, round(finished / 10))


def _finished(study: Study, metric: int) -> list[FrozenTrial]:
    from optuna.trial import TrialState

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial for trial in complete if math.isfinite(trial.values[metric])]


def _evaluated(study: Study, metric: int, values: Mapping[int, float]) -> dict[str, float]:
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.study import StudyDirection

    sign = -1 if study.directions[metric] is StudyDirection.MAXIMIZE else 1
    evaluator = PedAnovaImportanceEvaluator(target_quantile=best_count(len(values)) / len(values))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that less is better, and of hyperparameters that few trials have
        return get_param_importances(
            study,
            evaluator=evaluator,
            target=lambda trial: sign * values.get(trial.number, math.nan),
            normalize=False,
        )


def _dealt(values: Mapping[int, float], seed: int) -> dict[int, float]:
    """Return the same values, dealt out to the trials by chance."""
    shuffled = random.Random(seed).sample(list(values.values()), len(values))
    return dict(zip(values, shuffled, strict=True))
