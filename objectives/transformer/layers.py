"""What stands beside attention in each layer: the feed-forward network and the residual connection."""

from __future__ import annotations

from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


class Dropout(nn.Dropout):
    """Dropout that draws nothing where its share is 0, so that members without it can be fused."""

    def forward(self, values: Tensor) -> Tensor:
        return super().forward(values) if self.p else values


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
