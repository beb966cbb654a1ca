"""Optimizers of M members: one step for all rows, each row with its own hyperparameters.

Each agrees with its namesake in ``torch.optim`` (Lion with its paper). What depends on the number of updates alone,
such as Adam's bias correction, is computed once an epoch for all its steps. On the CPU some are taken by fused kernels
instead (see fused.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from tuner.training.recipe import Recipe


class Optimizer(ABC):
    """Changes weights ``[m, P]`` by their gradient ``[m, P]``, with a state of slots ``[m, P]``."""

    slots: ClassVar[tuple[str, ...]] = ()
    """What is remembered from step to step for each weight."""
    eps: ClassVar[float] = 1e-8
    alpha: ClassVar[float] = 0.99
    beta2: ClassVar[float] = 0.999

    def __init__(self, recipes: Sequence[Recipe], weights: Tensor, gradient: Tensor, state: dict[str, Tensor]) -> None:
        self.recipes = recipes
        self.weights = weights
        self.gradient = gradient
        self.state = [state[name] for name in self.slots]
        self._scratch: Tensor | None = None
        self.prepare()

    def column(self, values: Sequence[float]) -> Tensor:
        """Return one number for each row, ``[m, 1]``."""
        return self.weights.new_tensor(values).unsqueeze(1)

    @property
    def scratch(self) -> Tensor:
        """A tensor like the weights to compute in."""
        if self._scratch is None:
            self._scratch = torch.empty_like(self.weights)
        return self._scratch

    def beta1s(self) -> list[float]:
        """Return each row's."""
        return [r.beta1 for r in self.recipes]

    def beta2s(self) -> list[float]:
        """Return each row's."""
        return [self.beta2 if r.beta2 is None else r.beta2 for r in self.recipes]

    def floors(self) -> list[float]:
        """Return each row's eps."""
        return [self.eps if r.eps is None else r.eps for r in self.recipes]

    def alphas(self) -> list[float]:
        """Return each row's."""
        return [self.alpha if r.alpha is None else r.alpha for r in self.recipes]

    def table(self, numbers: Tensor) -> list[Tensor]:
        """Return float64 numbers ``[m, S]`` as one column ``[m, 1]`` for each of the S steps."""
        return list(numbers.t().unsqueeze(-1).to(self.weights.device, self.weights.dtype, non_blocking=True).unbind(0))

    @abstractmethod
    def prepare(self) -> None:
        """Set up the hyperparameters' columns."""

    @abstractmethod
    def begin(self, rates: Tensor, updates: Tensor) -> None:
        """Begin an epoch of S steps with learning rates ``[m, S]``; its updates are number ``[m, S]``, from 1 on."""

    @abstractmethod
    def step(self, index: int) -> None:
        """Take the epoch's step of this index."""


class GradientDescent(Optimizer):
    """Plain steps along the gradient."""

    def prepare(self) -> None:
        pass

    def begin(self, rates: Tensor, updates: Tensor) -> None:
        self.rates = self.table(-rates)

    def step(self, index: int) -> None:
        self.weights.addcmul_(self.gradient, self.rates[index])


class Momentum(GradientDescent):
    """Steps along a decaying sum of the gradients."""

    slots = ("momentum",)

    def prepare(self) -> None:
        self.momentum = self.column([r.momentum for r in self.recipes])

    def step(self, index: int) -> None:
        (velocity,) = self.state
        velocity.mul_(self.momentum).add_(self.gradient)
        self.weights.addcmul_(velocity, self.rates[index])


class Nesterov(Momentum):
    """Momentum that looks one step ahead."""

    def step(self, index: int) -> None:
        (velocity,) = self.state
        velocity.mul_(self.momentum).add_(self.gradient)
        ahead = torch.addcmul(self.gradient, velocity, self.momentum, out=self.scratch)
        self.weights.addcmul_(ahead, self.rates[index])


class RMSprop(GradientDescent):
    """Gradients divided by the root of their mean square."""

    slots: ClassVar[tuple[str, ...]] = ("square",)

    def prepare(self) -> None:
        self.forgets = self.column([1.0 - alpha for alpha in self.alphas()])
        self.floor = self.column(self.floors())

    def _direction(self) -> Tensor:
        square = self.state[0]
        squared = torch.mul(self.gradient, self.gradient, out=self.scratch)
        square.lerp_(squared, self.forgets)
        root = torch.sqrt(square, out=self.scratch).add_(self.floor)
        return torch.div(self.gradient, root, out=self.scratch)

    def step(self, index: int) -> None:
        self.weights.addcmul_(self._direction(), self.rates[index])


class RMSpropMomentum(RMSprop):
    """RMSprop with a decaying sum of its steps."""

    slots = ("square", "momentum")

    def prepare(self) -> None:
        super().prepare()
        self.momentum = self.column([r.momentum for r in self.recipes])

    def step(self, index: int) -> None:
        velocity = self.state[1]
        velocity.mul_(self.momentum).add_(self._direction())
        self.weights.addcmul_(velocity, self.rates[index])


class AdaGrad(GradientDescent):
    """Gradients divided by the root of the sum of their squares."""

    slots = ("square",)
    eps = 1e-10

    def prepare(self) -> None:
        self.floor = self.column(self.floors())

    def step(self, index: int) -> None:
        (square,) = self.state
        square.addcmul_(self.gradient, self.gradient)
        root = torch.sqrt(square, out=self.scratch).add_(self.floor)
        direction = torch.div(self.gradient, root, out=self.scratch)
        self.weights.addcmul_(direction, self.rates[index])


class Adadelta(GradientDescent):
    """Gradients in units of the recent steps."""

    slots = ("square", "step")
    eps = 1e-6
    alpha = 0.9

    def prepare(self) -> None:
        self.forgets = self.column([1.0 - alpha for alpha in self.alphas()])
        self.floor = self.column(self.floors())
        self.delta = torch.empty_like(self.weights)

    def step(self, index: int) -> None:
        square, moved = self.state
        square.lerp_(torch.mul(self.gradient, self.gradient, out=self.scratch), self.forgets)
        torch.add(moved, self.floor, out=self.delta).sqrt_()
        self.delta.div_(torch.add(square, self.floor, out=self.scratch).sqrt_()).mul_(self.gradient)
        moved.lerp_(torch.mul(self.delta, self.delta, out=self.scratch), self.forgets)
        self.weights.addcmul_(self.delta, self.rates[index])


class _Moments(Optimizer):
    """What the Adam family shares: decaying means of the gradients and of their squares."""

    slots: ClassVar[tuple[str, ...]] = ("mean", "square")

    def prepare(self) -> None:
        self.keep1, self.keep2 = (
            torch.tensor(betas, dtype=torch.float64).unsqueeze(1) for betas in (self.beta1s(), self.beta2s())
        )
        self.forgets1 = self.column([1.0 - beta for beta in self.beta1s()])
        self.forgets2 = self.column([1.0 - beta for beta in self.beta2s()])
        self.floor = self.column(self.floors())

    def _update_moments(self) -> tuple[Tensor, Tensor]:
        mean, square = self.state
        mean.lerp_(self.gradient, self.forgets1)
        square.lerp_(torch.mul(self.gradient, self.gradient, out=self.scratch), self.forgets2)
        return mean, square


class Adam(_Moments):
    """Adam; with a recipe's weight decay it is AdamW."""

    def begin(self, rates: Tensor, updates: Tensor) -> None:
        root = (1.0 - self.keep2**updates).sqrt()
        self.rates = self.table(-rates / (1.0 - self.keep1**updates) * root)
        self.scaled_floors = self.table(torch.tensor(self.floors(), dtype=torch.float64).unsqueeze(1) * root)

    def step(self, index: int) -> None:
        mean, square = self._update_moments()
        root = torch.sqrt(square, out=self.scratch).add_(self.scaled_floors[index])
        self.weights.addcmul_(torch.div(mean, root, out=self.scratch), self.rates[index])


class AdaMax(_Moments):
    """Adam with the largest recent gradient in place of the root of the mean square."""

    slots = ("mean", "largest")

    def prepare(self) -> None:
        super().prepare()
        self.keeps = self.column(self.beta2s())

    def begin(self, rates: Tensor, updates: Tensor) -> None:
        self.rates = self.table(-rates / (1.0 - self.keep1**updates))

    def step(self, index: int) -> None:
        mean, largest = self.state
        mean.lerp_(self.gradient, self.forgets1)
        size = torch.abs(self.gradient, out=self.scratch).add_(self.floor)
        torch.maximum(largest.mul_(self.keeps), size, out=largest)
        self.weights.addcmul_(torch.div(mean, largest, out=self.scratch), self.rates[index])


class NAdam(_Moments):
    """Adam with Nesterov's momentum, whose decay rises with the updates as in ``torch.optim.NAdam``."""

    DECAY = 0.004

    def begin(self, rates: Tensor, updates: Tensor) -> None:
        self.roots = self.table((1.0 - self.keep2**updates).sqrt())
        count = torch.arange(1, int(updates.max()) + 2, dtype=torch.float64)
        momenta = self.keep1 * (1.0 - 0.5 * 0.96 ** (count * self.DECAY))  # [m, T + 1]
        products = momenta.cumprod(1)
        now, after = updates.long() - 1, updates.long()
        self.gradient_rates = self.table(-rates * (1.0 - momenta.gather(1, now)) / (1.0 - products.gather(1, now)))
        self.mean_rates = self.table(-rates * momenta.gather(1, after) / (1.0 - products.gather(1, after)))

    def step(self, index: int) -> None:
        mean, square = self._update_moments()
        root = torch.sqrt(square, out=self.scratch).div_(self.roots[index]).add_(self.floor)
        inverse = root.reciprocal_()
        self.weights.addcmul_(inverse * self.gradient, self.gradient_rates[index])
        self.weights.addcmul_(inverse.mul_(mean), self.mean_rates[index])


class RAdam(_Moments):
    """Adam that takes plain momentum steps until its variance can be estimated."""

    def begin(self, rates: Tensor, updates: Tensor) -> None:
        longest = 2.0 / (1.0 - self.keep2) - 1.0
        power = self.keep2**updates
        length = longest - 2.0 * updates * power / (1.0 - power)
        ready = length > 5.0
        rectified = (length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length)
        scale = -rates / (1.0 - self.keep1**updates)
        zero = torch.zeros_like(scale)
        self.plain_rates = self.table(torch.where(ready, zero, scale))
        adaptive = scale * rectified.clamp(min=0.0).sqrt() * (1.0 - power).sqrt()
        self.adaptive_rates = self.table(torch.where(ready, adaptive, zero))

    def step(self, index: int) -> None:
        mean, square = self._update_moments()
        root = torch.sqrt(square, out=self.scratch).add_(self.floor)
        factor = torch.div(self.adaptive_rates[index], root, out=self.scratch).add_(self.plain_rates[index])
        self.weights.addcmul_(mean, factor)


class Lion(_Moments):
    """Steps of one size along the sign of a mean of the gradients (Chen et al. 2023)."""

    slots = ("mean",)
    beta2 = 0.99

    def begin(self, rates: Tensor, updates: Tensor) -> None:
        self.rates = self.table(-rates)

    def step(self, index: int) -> None:
        (mean,) = self.state
        direction = torch.lerp(mean, self.gradient, self.forgets1, out=self.scratch).sign_()
        self.weights.addcmul_(direction, self.rates[index])
        mean.lerp_(self.gradient, self.forgets2)


def kind(recipe: Recipe) -> type[Optimizer]:
    """Return the class that takes the recipe's steps. Members of one class are stepped together."""
    if recipe.optimizer in ("sgd", "gradient_descent"):
        if not recipe.momentum:
            return GradientDescent
        return Nesterov if recipe.nesterov else Momentum
    if recipe.optimizer == "rmsprop":
        return RMSpropMomentum if recipe.momentum else RMSprop
    return _KINDS[recipe.optimizer]


_KINDS: dict[str, type[Optimizer]] = {
    "adagrad": AdaGrad,
    "adadelta": Adadelta,
    "adam": Adam,
    "adamw": Adam,
    "adamax": AdaMax,
    "nadam": NAdam,
    "radam": RAdam,
    "lion": Lion,
}
