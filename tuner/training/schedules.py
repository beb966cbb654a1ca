"""How the learning rate changes: pure functions of progress, and one that watches the validation loss.

Warm-up, cosine, linear and one-cycle change with every step; step and exponential with every epoch. Where
``torch.optim.lr_scheduler`` has the same schedule, the numbers are the same (one_cycle leaves the momentum alone), but
for a one_cycle whose peak falls within the first of its steps: ours then begins at its start and falls from the next
step on, torch's follows the curve from a peak before the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tuner.training.recipe import Recipe

ONE_CYCLE_START = 1 / 25
"""one_cycle starts at this share of the learning rate."""
ONE_CYCLE_END = 1e-4
"""one_cycle ends at this share of where it started."""


def factors(recipe: Recipe, epoch: int, steps: int) -> Tensor:
    """Return the factors of the learning rate ``[steps]``, float64, in the steps of an epoch (the first is 0)."""
    step = torch.arange(epoch * steps, (epoch + 1) * steps, dtype=torch.float64)
    total = recipe.epochs * steps
    warm = round(recipe.warmup * total)
    rising = (step + 1.0) / max(warm, 1)
    return torch.where(step < warm, rising, _SHAPES[recipe.schedule](recipe, step - warm, total - warm, steps))


def _constant(recipe: Recipe, step: Tensor, total: int, steps: int) -> Tensor:
    return torch.ones_like(step)


def _step(recipe: Recipe, step: Tensor, total: int, steps: int) -> Tensor:
    gamma = 0.1 if recipe.gamma is None else recipe.gamma
    return gamma ** torch.floor(step / (steps * recipe.step_size))


def _exponential(recipe: Recipe, step: Tensor, total: int, steps: int) -> Tensor:
    gamma = 0.95 if recipe.gamma is None else recipe.gamma
    return gamma ** torch.floor(step / steps)


def _linear(recipe: Recipe, step: Tensor, total: int, steps: int) -> Tensor:
    return 1.0 + (recipe.final_factor - 1.0) * step / max(total, 1)


def _cosine(recipe: Recipe, step: Tensor, total: int, steps: int) -> Tensor:
    return recipe.final_factor + (1.0 - recipe.final_factor) * (1.0 + torch.cos(math.pi * step / max(total, 1))) / 2.0


def _one_cycle(recipe: Recipe, step: Tensor, total: int, steps: int) -> Tensor:
    top = max(recipe.peak * total - 1.0, 0.0)
    rise = _between(ONE_CYCLE_START, 1.0, step / max(top, 1e-9))
    fall = _between(1.0, ONE_CYCLE_START * ONE_CYCLE_END, (step - top) / max(total - 1.0 - top, 1e-9))
    return torch.where(step <= top, rise, fall)


def _between(start: float, end: float, part: Tensor) -> Tensor:
    """Return the cosine curve from start (part 0) to end (part 1)."""
    return end + (start - end) / 2.0 * (1.0 + torch.cos(math.pi * part))


_SHAPES: dict[str, Callable[[Recipe, Tensor, int, int], Tensor]] = {
    "constant": _constant,
    "step": _step,
    "exponential": _exponential,
    "linear": _linear,
    "cosine": _cosine,
    "one_cycle": _one_cycle,
    "reduce_on_plateau": _constant,
}


class Plateau:
    """Reduces a member's learning rate when its validation loss has not improved (relatively by 1e-4) for too long.

    As ``torch.optim.lr_scheduler.ReduceLROnPlateau``. The state is ``[M]`` tensors; other schedules' factor stays one.
    """

    THRESHOLD = 1e-4

    @staticmethod
    def initial() -> dict[str, Tensor]:
        """Return the state of one new member."""
        return {
            "plateau.factor": torch.tensor(1.0, dtype=torch.float64),
            "plateau.best": torch.tensor(math.inf, dtype=torch.float64),
            "plateau.stale": torch.tensor(0),
        }

    def __init__(self, recipes: Sequence[Recipe], state: dict[str, Tensor]) -> None:
        self.watching = torch.tensor([recipe.schedule == "reduce_on_plateau" for recipe in recipes])
        self.patience = torch.tensor([recipe.plateau_patience for recipe in recipes])
        gammas = [0.1 if recipe.gamma is None else recipe.gamma for recipe in recipes]
        self.gamma = torch.tensor(gammas, dtype=torch.float64)
        self.factor, self.best, self.stale = (state[f"plateau.{name}"] for name in ("factor", "best", "stale"))

    def update(self, loss: Tensor) -> None:
        """Take note of the validation losses ``[M]`` of an epoch."""
        improved = loss < self.best * (1.0 - self.THRESHOLD)  # NaN never improves
        self.best.copy_(torch.where(improved, loss, self.best))
        self.stale.copy_(torch.where(improved, 0, self.stale + 1))
        reduced = self.watching & (self.stale > self.patience)
        self.factor.mul_(torch.where(reduced, self.gamma, 1.0))
        self.stale.masked_fill_(reduced, 0)
