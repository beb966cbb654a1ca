"""Data as trials see it, tokenized say: each way made once, and the same object while it is in use."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from tuner.training.data import Dataset

KEPT_BYTES = 2**30
"""What was asked for last is kept up to this much memory, though no trial is using it."""

K = TypeVar("K", bound=Hashable)


class Encoded(Generic[K]):
    """The encodings of one data set that were asked for."""

    def __init__(self, make: Callable[[K], Dataset]) -> None:
        self._make = make
        self._all: WeakValueDictionary[K, Dataset] = WeakValueDictionary()
        self._kept: dict[K, Dataset] = {}

    def of(self, key: K) -> Dataset:
        """Return the data as ``key`` has it."""
        dataset = self._all.get(key)
        if dataset is None:
            dataset = self._all[key] = self._make(key)
        self._kept.pop(key, None)
        self._kept[key] = dataset
        while len(self._kept) > 1 and sum(map(_bytes, self._kept.values())) > KEPT_BYTES:
            del self._kept[next(iter(self._kept))]
        return dataset


def _bytes(dataset: Dataset) -> int:
    parts = (dataset.training, dataset.validation, dataset.test)
    tensors = (x for part in parts if part is not None for x in (*part.inputs, part.targets))
    return sum(x.numel() * x.element_size() for x in tensors)
