"""What is added to the gradient of the data loss, and taken from the weights, to keep them small.

- L1: the loss grows by ``l1 * sum(|w|)``, its gradient by ``l1 * sign(w)`` (0 where w is 0, a subgradient).
- L2: the loss grows by ``l2 * sum(w**2)``, its gradient by ``2 * l2 * w``.
  (``weight_decay=d`` of ``torch.optim.SGD`` is ``l2=d/2``.)
- Weight decay is no part of the loss: each step first takes ``w -= learning_rate * weight_decay * w``, whatever the
  optimizer then does with the gradient (as AdamW).

All three act on weights alone (parameters of two or more axes) unless the recipe penalises biases too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tuner.training.network import Layout
from tuner.training.recipe import Recipe


class Penalties:
    """The penalties, weight decay and gradient clipping of M members, acting on their rows ``[M, P]``."""

    def __init__(self, recipes: Sequence[Recipe], layout: Layout, weights: Tensor, gradient: Tensor) -> None:
        self.gradient = gradient
        self._pieces = [
            _Piece(recipes, weights[:, : layout.weights], gradient[:, : layout.weights]),
            _Piece(recipes, weights[:, layout.weights :], gradient[:, layout.weights :], biases=True),
        ]
        self._pieces = [piece for piece in self._pieces if piece.acts]
        limits = [torch.inf if recipe.gradient_clip is None else recipe.gradient_clip for recipe in recipes]
        self._limits = weights.new_tensor(limits).unsqueeze(1)
        self._clips = any(recipe.gradient_clip is not None for recipe in recipes)

    def begin(self, rates: Tensor) -> None:
        """Begin an epoch with the learning rates ``[M, S]`` of its steps."""
        for piece in self._pieces:
            piece.begin(rates)

    def apply(self, index: int) -> None:
        """Do one step's share: penalties into the gradient, clipping (their gradient included), then weight decay."""
        for piece in self._pieces:
            piece.add_gradient()
        if self._clips:
            norms = torch.linalg.vector_norm(self.gradient, dim=1, keepdim=True)
            self.gradient.mul_((self._limits / (norms + 1e-6)).clamp_(max=1.0))
        for piece in self._pieces:
            piece.decay(index)


class _Piece:
    """The penalties on one range of the rows."""

    def __init__(self, recipes: Sequence[Recipe], weights: Tensor, gradient: Tensor, *, biases: bool = False) -> None:
        self.weights = weights
        self.gradient = gradient

        def column(strengths: list[float]) -> Tensor | None:
            strengths = [
                strength if recipe.penalise_biases or not biases else 0.0
                for strength, recipe in zip(strengths, recipes, strict=True)
            ]
            return weights.new_tensor(strengths).unsqueeze(1) if any(strengths) and weights.numel() else None

        self.l1 = column([recipe.l1 for recipe in recipes])
        self.l2 = column([2.0 * recipe.l2 for recipe in recipes])
        self.weight_decay = column([recipe.weight_decay for recipe in recipes])
        self.acts = any(strength is not None for strength in (self.l1, self.l2, self.weight_decay))
        self._kept: list[Tensor] = []
        self._signs = (
            torch.empty(weights.shape, dtype=weights.dtype, device=weights.device) if self.l1 is not None else None
        )

    def begin(self, rates: Tensor) -> None:
        if self.weight_decay is not None:
            kept = 1.0 - rates.to(self.weights.device, self.weights.dtype) * self.weight_decay
            self._kept = list(kept.t().unsqueeze(-1).unbind(0))

    def add_gradient(self) -> None:
        if self.l2 is not None:
            self.gradient.addcmul_(self.weights, self.l2)
        if self.l1 is not None:
            self.gradient.addcmul_(torch.sign(self.weights, out=self._signs), self.l1)

    def decay(self, index: int) -> None:
        if self._kept:
            self.weights.mul_(self._kept[index])
