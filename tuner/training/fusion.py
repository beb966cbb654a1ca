"""Which members of a cohort are trained as one network: decided by cost, not by faith."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from weakref import WeakKeyDictionary

import torch

from tuner.training import costs, vmapped
from tuner.training.data import Dataset, Part
from tuner.training.member import Member
from tuner.training.randomness import used
from tuner.training.stack import optimizer_name

KERNELS, KERNELS_A_PARAMETER = 12, 4
"""Kernels in a step of the analytic network: the loss and the update, and those of each weight matrix or bias."""
STATE_ROWS = 4
"""Weights, gradient and what most optimizers remember."""


class Fusion:
    """Decides which members are trained as one network."""

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        self.dataset = dataset
        self.device = device
        self._pays: WeakKeyDictionary[Dataset, dict[Hashable, bool]] = WeakKeyDictionary()

    def groups(self, members: Sequence[Member]) -> list[list[Member]]:
        """Divide members into groups of one key each, and of a size that pays."""
        alike: dict[tuple[Dataset, Hashable], list[Member]] = {}
        for member in members:
            alike.setdefault(member.key(self.dataset), []).append(member)
        groups = []
        for (dataset, key), group in alike.items():
            group.sort(key=optimizer_name)
            count = -(-len(group) // self._best_size(dataset, key, group))
            groups += [group[len(group) * i // count : len(group) * (i + 1) // count] for i in range(count)]
        return groups

    def _best_size(self, dataset: Dataset, key: Hashable, group: list[Member]) -> int:
        """Return how many of these like members should be one network."""
        if len(group) == 1:
            return 1
        samples = used(len(dataset.training), group[0].recipe.data_fraction)
        batch = min(group[0].recipe.batch_size or samples, samples)
        if not group[0].analytic:
            pays = self._pays.setdefault(dataset, {})
            if key not in pays:
                pays[key] = self._try(group, dataset.training, batch)
            return len(group) if pays[key] else 1
        layout = group[0].layout
        step = costs.Step(
            kernels=KERNELS + KERNELS_A_PARAMETER * len(layout.shapes),
            flops=6.0 * layout.weights * batch,
            bytes=STATE_ROWS * layout.size * layout.dtype.itemsize,
        )
        return costs.best_together(costs.calibrate(self.device), step, len(group))

    def _try(self, group: list[Member], training: Part, batch: int) -> bool:
        modules = [member.module.to(self.device) for member in group]
        inputs = tuple(x.to(self.device) for x in training.gather(torch.arange(batch)))
        targets = training.targets[:batch].to(self.device)
        return vmapped.pays(modules, group[0].loss, inputs, targets, group[0].recipe.precision)
