"""Optimizer steps of fused kernels: torch has them for the CPU, where a step costs what its passes through memory cost.

A formula passes once for each of its operations; a kernel reads and writes every number once. Each row is one call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from tuner.training import optimizers
from tuner.training.optimizers import Optimizer

LONG_ROW = 8192
"""Numbers in a row from which on a call for it costs less than what momentum's passes over many short rows do."""

Row = Sequence[Sequence[Tensor]]
"""What the kernels take: a list of weights, one of gradients, and one for each slot, each of one tensor."""


class _Fused(Optimizer):
    """Steps of which each row's is one call."""

    def prepare(self) -> None:
        tensors = (self.weights, self.gradient, *self.state)
        rows = zip(*(tensor.unbind(0) for tensor in tensors), strict=True)
        self.calls = [self.call(place, [[tensor] for tensor in row]) for place, row in enumerate(rows)]

    def call(self, place: int, row: Row) -> Callable[..., object]:
        """Return what steps the row at this place when it is called with ``lr``."""
        raise NotImplementedError

    def begin(self, rates: Tensor, updates: Tensor) -> None:
        self.rates = rates.t().tolist()

    def step(self, index: int) -> None:
        for call, rate in zip(self.calls, self.rates[index], strict=True):
            call(lr=rate)


class FusedMomentum(_Fused):
    """Momentum."""

    slots = optimizers.Momentum.slots
    nesterov: ClassVar[bool] = False

    def call(self, place: int, row: Row) -> Callable[..., object]:
        return partial(
            torch._fused_sgd_,
            *row,
            momentum=self.recipes[place].momentum,
            nesterov=self.nesterov,
            weight_decay=0.0,
            dampening=0.0,
            maximize=False,
            is_first_step=False,
        )


class FusedNesterov(FusedMomentum):
    """Momentum that looks one step ahead."""

    nesterov = True


class FusedAdaGrad(_Fused):
    """AdaGrad."""

    slots = optimizers.AdaGrad.slots
    eps = optimizers.AdaGrad.eps

    def call(self, place: int, row: Row) -> Callable[..., object]:
        count = [torch.zeros(())]  # it only matters to a decay of the rates
        return partial(
            torch._fused_adagrad_,
            *row,
            count,
            eps=self.floors()[place],
            lr_decay=0.0,
            weight_decay=0.0,
            maximize=False,
        )


class FusedAdam(_Fused):
    """Adam."""

    slots = optimizers.Adam.slots

    def prepare(self) -> None:
        self.count = torch.zeros(len(self.weights))
        super().prepare()

    def call(self, place: int, row: Row) -> Callable[..., object]:
        return _adam(row, self.count[place], self.beta1s()[place], self.beta2s()[place], self.floors()[place])

    def begin(self, rates: Tensor, updates: Tensor) -> None:
        super().begin(rates, updates)
        self.count.copy_(updates[:, 0] - 1)

    def step(self, index: int) -> None:
        self.count.add_(1.0)
        super().step(index)


class FusedRMSprop(_Fused):
    """RMSprop: it is Adam whose mean forgets at once, after so many steps that no bias is left to correct."""

    slots = optimizers.RMSprop.slots

    def call(self, place: int, row: Row) -> Callable[..., object]:
        weights, gradient, square = row
        mean = [torch.zeros_like(gradient[0])]
        return _adam(
            [weights, gradient, mean, square], torch.tensor(math.inf), 0.0, self.alphas()[place], self.floors()[place]
        )


def _adam(row: Row, count: Tensor, beta1: float, beta2: float, eps: float) -> Callable[..., object]:
    return partial(
        torch._fused_adam_,
        *row,
        [],
        [count],
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        weight_decay=0.0,
        amsgrad=False,
        maximize=False,
    )


FUSED: dict[type[Optimizer], type[Optimizer]] = {
    optimizers.Momentum: FusedMomentum,
    optimizers.Nesterov: FusedNesterov,
    optimizers.RMSprop: FusedRMSprop,
    optimizers.AdaGrad: FusedAdaGrad,
    optimizers.Adam: FusedAdam,
}


def quickest(kind: type[Optimizer], weights: Tensor) -> type[Optimizer]:
    """Return the class that takes the steps of ``kind`` on these weights ``[m, P]`` the quickest way."""
    if weights.device.type != "cpu" or kind not in FUSED:
        return kind
    members, length = weights.shape
    if issubclass(kind, optimizers.Momentum) and members > 1 and length < LONG_ROW:
        return kind
    return FUSED[kind]
