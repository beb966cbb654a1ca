"""The encoder: each token looks at all others."""

from __future__ import annotations

from torch import Tensor, nn

from objectives.transformer.attention import MultiHeadAttention
from objectives.transformer.layers import Dropout, FeedForward
from objectives.transformer.shape import LayerShape


class EncoderLayer(nn.Module):
    """Self-attention, then the feed-forward network, each as ``x + sublayer(normalised x)``.

    It computes what ``torch.nn.TransformerEncoderLayer(norm_first=True)`` does.

    Shape:
        tokens ``[B, T, W]``, present ``[B, T]`` → ``[B, T, W]``.
    """

    def __init__(self, shape: LayerShape) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(shape.width)
        self.attention = MultiHeadAttention(shape.width, shape.heads, rotary=shape.rotary)
        self.feed_forward_norm = nn.LayerNorm(shape.width)
        self.feed_forward = FeedForward(
            shape.width, shape.feed_forward, dropout=shape.dropout, activation=shape.activation
        )
        self.dropout = Dropout(shape.dropout)

    def forward(self, tokens: Tensor, present: Tensor | None = None, *, causal: bool = False) -> Tensor:
        normal = self.attention_norm(tokens)
        tokens = tokens + self.dropout(self.attention(normal, normal, present, causal=causal))
        tokens = tokens + self.dropout(self.feed_forward(self.feed_forward_norm(tokens)))
        return tokens


class Encoder(nn.Module):
    """Encoder layers, one after the other, and a last normalisation.

    With ``causal`` each token sees only those before it: a decoder without a source, as language models are.

    Shape:
        tokens ``[B, T, W]``, present ``[B, T]`` → ``[B, T, W]``.
    """

    def __init__(self, layers: int, shape: LayerShape) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(shape) for _ in range(layers))
        self.norm = nn.LayerNorm(shape.width)

    def forward(self, tokens: Tensor, present: Tensor | None = None, *, causal: bool = False) -> Tensor:
        for layer in self.layers:
            tokens = layer(tokens, present, causal=causal)
        normal: Tensor = self.norm(tokens)
        return normal
