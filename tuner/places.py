"""How many trials a worker trains at once."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tuner.space import Space
    from tuner.training import Dataset, Member

MOST = 16
"""Trials in training at once where all are of one shape."""
DRAWN = 16
"""Configurations that are looked at."""
ALIKE = 4
"""So many of them must share a shape on average, or fusing does not pay for what a sampler that sees less costs."""
LARGE = 1_000_000
"""Weights of a network from which on its training is arithmetic, which fusing does not save."""
SHARE_IN_FLIGHT = 8
"""At most one trial in so many of the budget is in training at a time: a sampler learns from those that ended."""


def places(
    space: Space,
    make: Callable[[dict[str, object]], Member],
    dataset: Dataset,
    *,
    trials: int | None,
    workers: int,
) -> int:
    """Return how many trials of ``space`` a worker should train at once.

    ``make`` makes an untrained member of hyperparameters. Only members of one shape are trained as one network, so
    some configurations are drawn at random: where they rarely agree, one trial at a time serves the sampler best.
    """
    chance = _Chance(random.Random(0))
    shapes: Counter[object] = Counter()
    for _ in range(DRAWN):
        try:
            member = make(space.suggest(chance))
        except Exception:  # noqa: BLE001 - an objective that fails is met, and told of, by its trials
            return 1
        if member.layout.size > LARGE:
            return 1
        shapes[member.key(dataset)] += 1
        if len(shapes) * ALIKE > DRAWN:
            return 1
    most = MOST if trials is None else min(MOST, trials // (SHARE_IN_FLIGHT * max(1, workers)))
    return max(1, most)


class _Chance:
    """Suggests values at random, as a trial does, without a study."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def suggest_categorical(self, _: str, choices: Sequence[Any]) -> Any:
        return self._chance.choice(choices)

    def suggest_int(self, _: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return round(math.exp(self._uniform(low, high, True))) if log else self._chance.randrange(low, high + 1, step)

    def suggest_float(self, _: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> float:
        return math.exp(self._uniform(low, high, True)) if log else self._uniform(low, high, False)

    def _uniform(self, low: float, high: float, log: bool) -> float:
        return self._chance.uniform(math.log(low), math.log(high)) if log else self._chance.uniform(low, high)
