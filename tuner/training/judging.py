"""How a part of the data judges members: their loss and metrics on it.

Of sequences, the outputs for a whole part may be more than the memory holds: a distribution over the vocabulary for
each token. Losses and metrics that are made of sums over samples are then summed up chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from tuner.training.data import Feed, Part
from tuner.training.losses import Loss
from tuner.training.returns import one_each

CHUNK_BYTES = 32 * 2**20
"""So large may the outputs of a chunk be."""
FIRST_SAMPLES = 16
"""Samples of the first chunk, from which the size of the others follows."""

Predict = Callable[[Sequence[Feed]], Tensor]
"""From what the network is called with, N samples, to the outputs of all members ``[M, N, ...]``."""


class Metric(Protocol):
    """What scores the outputs of all members.

    One that is a function of two sums over the samples may say so: it has ``additive = True``,
    ``sums(outputs, targets)`` with the two ``[M]`` sums, and ``from_sums(over, under)`` with the ``[M]`` scores.
    """

    @property
    def name(self) -> str: ...

    @property
    def direction(self) -> str:
        """'maximize' or 'minimize'."""

    def __call__(self, outputs: Tensor, targets: Tensor, /) -> Tensor:
        """Return the ``[M]`` scores of outputs ``[M, N, ...]`` for targets ``[N, ...]``."""


def judge(predict: Predict, part: Part, loss: Loss, metrics: Sequence[Metric]) -> tuple[Tensor, list[Tensor]]:
    """Return the members' losses ``[M]`` on the part, and their scores ``[M]`` by each metric.

    A member whose loss is not finite has no scores: NaN. No metric sees its outputs.
    """
    judged = [loss, *metrics]
    additive = all(getattr(one, "additive", False) for one in judged)
    if additive and part.targets.ndim > 1 and not part.targets.is_floating_point():
        losses, *scores = _summed_up(predict, part, judged)
    else:
        outputs = predict(part.feeds)
        losses = loss(outputs, part.targets.expand(len(outputs), *part.targets.shape))
        losses = one_each(losses, len(outputs), f"the loss {type(loss).__name__}")
        healthy = _harmless(outputs, losses)
        scores = [metric(healthy, part.targets) for metric in metrics]
        for metric, score in zip(metrics, scores, strict=True):
            one_each(score, len(outputs), f"the metric {metric.name}")
    return losses, [torch.where(losses.isfinite(), score, torch.nan) for score in scores]


def _summed_up(predict: Predict, part: Part, judged: Sequence[Any]) -> list[Tensor]:
    """Return what the loss, the first of ``judged``, and the metrics come to ``[M]``."""
    totals: list[Tensor] = []
    for outputs, targets in _chunks(predict, part):
        sums = [judged[0].sums(outputs, targets.expand(len(outputs), *targets.shape))]
        healthy = _harmless(outputs, sums[0][0])
        sums += [metric.sums(healthy, targets) for metric in judged[1:]]
        kind = torch.promote_types(outputs.dtype, torch.float32)
        totals.append(torch.stack([number.to(kind) for pair in sums for number in pair]))
    total = torch.stack(totals).sum(0)
    return [one.from_sums(over, under) for one, over, under in zip(judged, total[::2], total[1::2], strict=True)]


def _chunks(predict: Predict, part: Part) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield outputs ``[M, n, ...]`` and targets ``[n, ...]`` for one stretch of the part after the other."""
    start, samples = 0, FIRST_SAMPLES
    while start < len(part):
        targets = part.targets[start : start + samples]
        outputs = predict([_stretch(feed, start, start + len(targets)) for feed in part.feeds])
        yield outputs, targets
        start += samples
        samples = max(1, CHUNK_BYTES * outputs.shape[1] // (outputs.numel() * outputs.element_size()))


def _stretch(feed: Feed, start: int, stop: int) -> Tensor:
    return feed[start:stop] if isinstance(feed, Tensor) else feed.gather(torch.arange(start, stop))


def _harmless(outputs: Tensor, losses: Tensor) -> Tensor:
    """Return the outputs with zeros for the members whose loss is not finite: a metric need not know of NaN."""
    healthy = losses.isfinite()
    if bool(healthy.all()):
        return outputs
    return torch.where(healthy.view(-1, *[1] * (outputs.ndim - 1)), outputs, torch.zeros_like(outputs))
