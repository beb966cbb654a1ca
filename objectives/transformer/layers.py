"""What stands beside attention in each layer: the feed-forward network and the residual connection."""

from __future__ import annotations

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


class Dropout(nn.Dropout):
    """Dropout that draws nothing where its share is 0, so that members without it can be fused.

    On the CPU a quarter of a 64-bit number decides on each value: drawing a number for each costs several times as
    much, and more than all else in a layer. The share, below 1, is then exact to ``2^-16``.
    """

    def forward(self, values: Tensor) -> Tensor:
        if not (self.p and self.training):
            return values
        return values * _mask(values, self.p) if values.is_cpu else super().forward(values)


def _mask(values: Tensor, silent: float) -> Tensor:
    """Return what dropout multiplies values with, of their shape and dtype: 0, or what keeps the mean as it is."""
    threshold = min(round(silent * 2**16), 2**16 - 1)
    bits = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    uniform = bits.view(torch.int16)[: values.numel()].view(values.shape)
    mask = torch.empty(values.shape, dtype=values.dtype)
    return torch.ge(uniform, threshold - 2**15, out=mask).mul_(2**16 / (2**16 - threshold))


class FeedForward(nn.Module):
    """Two linear layers with an activation between, for each token alone (Vaswani et al. 2017, section 3.3).

    Shape:
        ``[B, T, W]`` → ``[B, T, W]``, with ``hidden`` numbers a token between.
    """

    def __init__(self, width: int, hidden: int, *, dropout: float = 0.0, activation: str = "relu") -> None:
        super().__init__()
        self.widen = nn.Linear(width, hidden)
        self.activation = ACTIVATIONS[activation]()
        self.dropout = Dropout(dropout)
        self.narrow = nn.Linear(hidden, width)
        for layer in (self.widen, self.narrow):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        narrowed: Tensor = self.narrow(self.dropout(self.activation(self.widen(tokens))))
        return narrowed
