"""CUDA graphs: the kernels of a training step, recorded once for each shape of a batch and then started all at once.

A small network's step on a GPU is mostly the time it takes to call its kernels. Where they are the same in every step,
the forward and backward pass are recorded. What was recorded is used only if it gives what the step itself gave, loss
and gradient; whatever cannot be recorded is computed step by step, as everywhere else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from tuner.training.data import Feed
from tuner.training.network import Network

logger = logging.getLogger(__name__)

TOLERANCE = 1e-2
"""How far the recorded step may be from the step itself, of the largest number: what is wrong is wrong by far more."""


class Recording(Protocol):
    """Kernels that can be started again."""

    def replay(self) -> None:
        """Start them: they read and write the same memory as when they were recorded."""


Record = Callable[[Callable[[], Tensor], torch.device], tuple[Recording, Tensor]]
"""Records what a function does on a device, without doing it; returns also where its result will be."""


def on_cuda(work: Callable[[], Tensor], device: torch.device) -> tuple[Recording, Tensor]:
    """Record the work in a CUDA graph. Threads that feed the network may use the device meanwhile."""
    with torch.cuda.device(device):
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                result = work()
            finally:
                graph.capture_end()
        torch.cuda.current_stream().wait_stream(stream)
    return graph, result


@dataclass(frozen=True, kw_only=True)
class _Recorded:
    recording: Recording
    batch: tuple[Tensor, ...]
    """Where the recorded kernels read inputs and targets."""
    loss: Tensor
    """Where they write the losses."""

    def run(self, batch: tuple[Tensor, ...]) -> Tensor:
        for mine, given in zip(self.batch, batch, strict=True):
            mine.copy_(given)
        self.recording.replay()
        return self.loss.clone()


class Graphed:
    """A network whose steps are recorded. See ``network.Network`` for what the methods promise."""

    def __init__(self, network: Network, gradient: Tensor, record: Record = on_cuda) -> None:
        self.network = network
        self.gradient = gradient
        self.smallest_batch = network.smallest_batch
        self.repeatable = network.repeatable
        self._record = record
        self._seen: set[Hashable] = set()
        self._recorded: dict[Hashable, _Recorded | None] = {}

    def epoch(self, seeds: Sequence[int]) -> AbstractContextManager[None]:
        return self.network.epoch(seeds)

    def prepare(self, targets: Tensor) -> Tensor:
        return self.network.prepare(targets)

    def predict(self, feeds: Sequence[Feed]) -> Tensor:
        return self.network.predict(feeds)

    def buffers(self) -> dict[str, Tensor]:
        return self.network.buffers()

    def forward_backward(self, inputs: tuple[Tensor, ...], targets: Tensor) -> Tensor:
        batch = (*inputs, targets)
        shapes = tuple((x.shape, x.dtype) for x in batch)
        if shapes not in self._seen:  # the first step of a shape makes what later ones reuse
            self._seen.add(shapes)
            return self.network.forward_backward(inputs, targets)
        if shapes not in self._recorded:
            loss, self._recorded[shapes] = self._try(batch)
            return loss
        recorded = self._recorded[shapes]
        return self.network.forward_backward(inputs, targets) if recorded is None else recorded.run(batch)

    def _try(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, _Recorded | None]:
        """Take the step, and record it; return its losses, and the record if it gives the same again."""
        before = self._copies()
        loss = self.network.forward_backward(batch[:-1], batch[-1]).clone()
        gradient, after = self.gradient.clone(), self._copies()
        if not bool(torch.isfinite(gradient).all()):  # a member diverges: no time to compare
            return loss, None
        self._put_back(before)
        recorded: _Recorded | None = None
        try:
            mine = tuple(x.clone() for x in batch)
            recording, result = self._record(
                lambda: self.network.forward_backward(mine[:-1], mine[-1]), self.gradient.device
            )
            recorded = _Recorded(recording=recording, batch=mine, loss=result)
            result.fill_(torch.nan)  # so that a record of nothing is not taken for one of the step
            self.gradient.fill_(torch.nan)
            again = recorded.run(batch)
            if not (_close(again, loss) and _close(self.gradient, gradient)):
                logger.warning("a recorded step gives other numbers: %s is not recorded", type(self.network).__name__)
                recorded = None
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            logger.info("%s is not recorded: %s", type(self.network).__name__, str(error).split("\n", 1)[0])
            recorded = None
        self.gradient.copy_(gradient)
        self._put_back(after)
        return loss, recorded

    def _copies(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.network.buffers().items()}

    def _put_back(self, copies: dict[str, Tensor]) -> None:
        for name, value in self.network.buffers().items():
            value.copy_(copies[name])


def _close(one: Tensor, other: Tensor) -> bool:
    size = float(other.abs().max())
    return torch.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE * size, equal_nan=True)
