"""The multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from tuner.training.activations import ACTIVATIONS
from tuner.training.recipe import RecipeError

NORMALIZATIONS = ("none", "layer", "batch")


class MLP(nn.Module):
    """Hidden layers (linear, normalization, activation, dropout) and a linear output layer.

    Shape: ``[B, ...]`` is flattened to ``[B, inputs]`` and mapped to ``[B, outputs]``. No hidden widths make it linear.

    >>> import torch
    >>> MLP(inputs=4, outputs=3, hidden=(32, 32))(torch.zeros(5, 4)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        *,
        inputs: int,
        outputs: int,
        hidden: Sequence[int] = (),
        activation: str = "relu",
        dropout: float = 0.0,
        normalization: str | None = None,
    ) -> None:
        super().__init__()
        normalization = normalization or "none"
        if activation not in ACTIVATIONS:
            raise RecipeError(f"unknown activation {activation!r}; choose one of {', '.join(ACTIVATIONS)}")
        if normalization not in NORMALIZATIONS:
            raise RecipeError(f"unknown normalization {normalization!r}; choose one of {', '.join(NORMALIZATIONS)}")
        if not 0.0 <= dropout < 1.0:
            raise RecipeError(f"dropout must be at least 0 and below 1, got {dropout!r}")
        widths = (inputs, *hidden, outputs)
        if min(widths) < 1:
            raise RecipeError(f"a network needs at least one unit in every layer, got the widths {widths}")
        self.inputs = inputs
        self.outputs = outputs
        self.hidden = tuple(hidden)
        self.activation = activation
        self.dropout = dropout
        self.normalization = normalization
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        norm = {"layer": nn.LayerNorm, "batch": nn.BatchNorm1d}.get(normalization)
        self.norms = nn.ModuleList(norm(width) for width in hidden) if norm else nn.ModuleList()
        self.activate = ACTIVATIONS[activation].module()
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for index in range(len(self.hidden)):
            x = self.layers[index](x)
            if self.norms:
                x = self.norms[index](x)
            x = self.drop(self.activate(x))
        output: Tensor = self.layers[-1](x)
        return output
