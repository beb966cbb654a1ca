"""The samples a network learns from and is judged on: tensors, and what is read when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from tuner.training.memory import exactly, free_bytes

PLACED_SHARE = 0.5
"""Of a device's free memory that data may take; the rest is for networks."""


class Source(Protocol):
    """Inputs that are read when they are needed: files that are too many for memory, say."""

    def __len__(self) -> int: ...

    def gather(self, rows: Tensor) -> Tensor:
        """Return the samples of these numbers ``[n]`` as ``[n, ...]``. Called from several threads at once."""


Feed = Tensor | Source
"""One of the things a network is called with."""


Vary = Callable[[tuple[Tensor, ...], Tensor, torch.Generator], tuple[tuple[Tensor, ...], Tensor]]
"""From the inputs and targets of a batch, each ``[B, ...]`` on one device, to others of the same shapes.

All its chance comes from the generator, which is the host's.
"""


def gather(feed: Feed, rows: Tensor) -> Tensor:
    """Return the samples of these numbers ``[n]`` as ``[n, ...]``, where they lie."""
    return feed.index_select(0, rows.to(feed.device)) if isinstance(feed, Tensor) else feed.gather(rows.cpu())


class _Some:
    """Some samples of a source."""

    def __init__(self, source: Source, rows: Tensor) -> None:
        self._source = source
        self._rows = rows.cpu()

    def __len__(self) -> int:
        return len(self._rows)

    def gather(self, rows: Tensor) -> Tensor:
        return self._source.gather(self._rows[rows])


@dataclass(frozen=True, kw_only=True)
class Part:
    """Samples that are used for one purpose; the first axis of every tensor counts the samples.

    Inputs may be tensors over a mapped file (``torch.from_file``, ``numpy.memmap``): nothing reads them whole.
    """

    inputs: tuple[Tensor, ...] = ()
    """What the network is called with: ``module(*inputs, *sources)``."""
    sources: tuple[Source, ...] = ()
    """Further inputs, which are read batch by batch."""
    targets: Tensor
    """Class numbers ``[N]`` (int64), or values ``[N]`` or ``[N, T]``."""
    vary: Vary | None = None
    """Draws each batch anew when it is learned from; a part that is judged stays as it is."""

    def __post_init__(self) -> None:
        lengths = [len(feed) for feed in (*self.feeds, self.targets)]
        if not self.feeds:
            raise ValueError("a part needs at least one input tensor or source")
        if len(set(lengths)) != 1:
            raise ValueError(f"inputs and targets must have equally many samples, got {lengths}")
        if not lengths[0]:
            raise ValueError("a part needs at least one sample")

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def feeds(self) -> tuple[Feed, ...]:
        """Everything the network is called with, in order."""
        return (*self.inputs, *self.sources)

    def gather(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Return what the network is called with for the samples of these numbers ``[n]``."""
        return tuple(gather(feed, rows) for feed in self.feeds)

    def only(self, rows: Tensor) -> Part:
        """Return the samples of these numbers ``[n]`` as a part to be judged."""
        inputs = tuple(gather(feed, rows) for feed in self.inputs)
        sources = tuple(_Some(source, rows) for source in self.sources)
        return Part(inputs=inputs, sources=sources, targets=gather(self.targets, rows))


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """The three parts of the data, and what their objective wants to keep beside them. Equal is only the same one."""

    training: Part
    validation: Part
    test: Part | None = None
    """Never looked at during the search."""
    info: dict[str, Any] = field(default_factory=dict)


class Placement:
    """Where datasets lie: on one device as far as they fit, each of them once for as long as it is in use.

    Targets always lie on the device. Inputs that do not fit stay where they are, and so does the test part: see
    feeding.py for how they get to the device.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.device = exactly(device)
        self._placed: WeakKeyDictionary[Dataset, Dataset] = WeakKeyDictionary()

    def of(self, dataset: Dataset) -> Dataset:
        """Return the dataset on the device: the same object for the same dataset. What lies there is not copied."""
        if dataset not in self._placed:
            self._placed[dataset] = replace(
                dataset, training=self._place(dataset.training), validation=self._place(dataset.validation)
            )
        return self._placed[dataset]

    def _place(self, part: Part) -> Part:
        return replace(part, inputs=tuple(self._moved(x) for x in part.inputs), targets=part.targets.to(self.device))

    def _moved(self, inputs: Tensor) -> Tensor:
        if inputs.device == self.device:
            return inputs
        fits = inputs.numel() * inputs.element_size() <= PLACED_SHARE * free_bytes(self.device)
        return inputs.to(self.device) if fits else inputs
