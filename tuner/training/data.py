"""The samples a network learns from and is judged on, in memory as tensors."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Part:
    """Samples that are used for one purpose; the first axis of every tensor counts the samples."""

    inputs: tuple[Tensor, ...]
    """What the network is called with: ``module(*inputs)``."""
    targets: Tensor
    """Class numbers ``[N]`` (int64), or values ``[N]`` or ``[N, T]``."""

    def __post_init__(self) -> None:
        lengths = [len(tensor) for tensor in (*self.inputs, self.targets)]
        if not self.inputs:
            raise ValueError("a part needs at least one input tensor")
        if len(set(lengths)) != 1:
            raise ValueError(f"inputs and targets must have equally many samples, got {lengths}")
        if not lengths[0]:
            raise ValueError("a part needs at least one sample")

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device | str) -> Part:
        """Return the part on the device; nothing is copied if it lies there."""
        return Part(inputs=tuple(x.to(device) for x in self.inputs), targets=self.targets.to(device))


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """The three parts of the data, and what their objective wants to keep beside them. Equal is only the same one."""

    training: Part
    validation: Part
    test: Part | None = None
    """Never looked at during the search."""
    info: dict[str, Any] = field(default_factory=dict)

    def to(self, device: torch.device | str) -> Dataset:
        """Return the data on the device; nothing is copied if it lies there."""
        return replace(
            self,
            training=self.training.to(device),
            validation=self.validation.to(device),
            test=None if self.test is None else self.test.to(device),
        )


class Placement:
    """Where datasets lie: on one device, each of them once for as long as it is in use."""

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self._placed: WeakKeyDictionary[Dataset, Dataset] = WeakKeyDictionary()

    def of(self, dataset: Dataset) -> Dataset:
        """Return the dataset on the device: the same object for the same dataset."""
        if dataset not in self._placed:
            self._placed[dataset] = dataset.to(self.device)
        return self._placed[dataset]
