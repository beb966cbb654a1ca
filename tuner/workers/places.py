"""How many trials a worker trains at once."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch

from tuner.training.memory import free_bytes, member_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tuner.space import Space
    from tuner.training import Dataset, Member

MOST, MOST_ON_GPU = 16, 512
"""Trials in training at once where all are of one shape. On a GPU calling a kernel costs far more than what it does."""
DRAWN = 16
"""Configurations that are looked at."""
ALIKE = 4
"""So many of them must share a shape on average, or fusing does not pay for what a sampler that sees less costs."""
LARGE, LARGE_ON_GPU = 1_000_000, 30_000_000
"""Weights of a network from which on its training is arithmetic, which fusing does not save."""
SHARE_IN_FLIGHT = 8
"""At most one trial in so many of the budget is in training at a time: a sampler learns from those that ended."""
MEMORY_SHARE = 0.8
"""Of the free memory that the trials of all workers on a device may be expected to take."""


def places(
    space: Space,
    make: Callable[[dict[str, object]], Member],
    dataset: Dataset,
    *,
    trials: int | None,
    workers: int,
    device: torch.device,
) -> int:
    """Return how many trials of ``space`` a worker should train at once.

    ``make`` makes an untrained member of hyperparameters. Only members of one shape are trained as one network, so
    some configurations are drawn at random: where they rarely agree, one trial at a time serves the sampler best.
    (Networks of different shapes could be padded to the largest and take steps of the smallest batch. Of 16 in flight,
    pairs and fours of the most alike took 1.6 and 2.1 times as long on a CPU as one by one for widths from 32 to 256,
    and 0.9 and 0.7 times for widths up to 64.)
    So many as fill the memory are enough, by what the largest of those that were drawn takes.
    """
    on_gpu = device.type == "cuda"
    most = MOST_ON_GPU if on_gpu else MOST
    if trials is not None:
        most = min(most, trials // (SHARE_IN_FLIGHT * max(1, workers)))
    if most <= 1:
        return 1
    chance = _Chance(random.Random(0))
    shapes: Counter[object] = Counter()
    largest: Member | None = None
    for _ in range(DRAWN):
        try:
            member = make(space.suggest(chance))
        except (Exception, SystemExit):  # noqa: BLE001 - an objective that fails is met, and told of, by its trials
            return 1
        if member.layout.size > (LARGE_ON_GPU if on_gpu else LARGE):
            return 1
        shapes[member.key(dataset)] += 1
        if len(shapes) * ALIKE > DRAWN:
            return 1
        largest = max(largest, member, key=lambda one: one.layout.size if one else 0)
    if largest is None:
        return 1
    return max(1, min(most, _fitting(largest, dataset, device, workers)))


def _fitting(member: Member, dataset: Dataset, device: torch.device, workers: int) -> int:
    """Return how many trials like this one a worker has the memory for."""
    try:
        each = member_bytes(member, member.dataset or dataset, device)
    except Exception:  # noqa: BLE001 - see above
        return 1
    sharing = -(-workers // torch.cuda.device_count()) if device.type == "cuda" else workers
    return int(MEMORY_SHARE * free_bytes(device) / max(1, sharing) / each)


class Places:
    """How many trials a worker trains at once: as many as wanted, fewer after an error."""

    def __init__(self, wanted: int) -> None:
        self.now = self.wanted = wanted
        self._before = wanted

    def out_of_memory(self, trained: int) -> None:
        """So many trials were too many; a single one would have been too large for any number of places."""
        self.now = self._before = trained // 2 if trained > 1 else self.wanted

    def suspect(self) -> None:
        """One of several trials raised an error: they run one at a time until it is known which."""
        self.now = 1

    def all_clear(self) -> None:
        """No trial that was under suspicion is left."""
        self.now = self._before


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
