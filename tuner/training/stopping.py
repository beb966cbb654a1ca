"""Which epoch was the best, and when waiting for a better one is over."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tuner.training.recipe import Recipe

_NEVER = 2**62


class EarlyStopping:
    """The best epoch and the patience of M members, on scores of which larger is better.

    The best epoch is the one with the best score and, of those with equal scores, with the lowest validation loss: the
    accuracy of few samples stands still for epochs in which the network still learns. Patience begins anew only with a
    score more than ``min_delta`` above the last one that renewed it. A NaN never improves anything.
    """

    @staticmethod
    def initial() -> dict[str, Tensor]:
        """Return the state of one new member."""
        return {
            "best.score": torch.tensor(-math.inf, dtype=torch.float64),
            "best.loss": torch.tensor(math.inf, dtype=torch.float64),
            "best.epoch": torch.tensor(0),
            "stopping.reference": torch.tensor(-math.inf, dtype=torch.float64),
            "stopping.stale": torch.tensor(0),
        }

    def __init__(self, recipes: Sequence[Recipe], state: dict[str, Tensor]) -> None:
        self.patience = torch.tensor([_NEVER if recipe.patience is None else recipe.patience for recipe in recipes])
        self.min_delta = torch.tensor([recipe.min_delta for recipe in recipes], dtype=torch.float64)
        self.best, self.loss, self.best_epoch = state["best.score"], state["best.loss"], state["best.epoch"]
        self.reference, self.stale = state["stopping.reference"], state["stopping.stale"]

    def update(self, scores: Tensor, losses: Tensor, epochs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the ``[M]`` masks of members whose best epoch this is, and of members that should stop now."""
        best = (scores > self.best) | ((scores == self.best) & (losses < self.loss))
        self.best.copy_(torch.where(best, scores, self.best))
        self.loss.copy_(torch.where(best, losses, self.loss))
        self.best_epoch.copy_(torch.where(best, epochs, self.best_epoch))
        improved = scores > self.reference + self.min_delta
        self.reference.copy_(torch.where(improved, scores, self.reference))
        self.stale.copy_(torch.where(improved, 0, self.stale + 1))
        return best, self.stale >= self.patience
