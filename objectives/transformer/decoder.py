"""The decoder: each token looks at those before it, and at the encoded source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from objectives.transformer.attention import KeysValues, MultiHeadAttention
from objectives.transformer.layers import Dropout, FeedForward
from objectives.transformer.shape import LayerShape


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the memory, the feed-forward network; each as ``x + sublayer(normalised x)``.

    It computes what ``torch.nn.TransformerDecoderLayer(norm_first=True)`` does with a causal mask.

    Shape:
        tokens ``[B, T, W]``, memory ``[B, S, W]``, present ``[B, T]``, memory_present ``[B, S]`` → ``[B, T, W]``.
    """

    def __init__(self, shape: LayerShape) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(shape.width)
        self.self_attention = MultiHeadAttention(shape.width, shape.heads, rotary=shape.rotary)
        self.cross_norm = nn.LayerNorm(shape.width)
        self.cross_attention = MultiHeadAttention(shape.width, shape.heads)
        self.feed_forward_norm = nn.LayerNorm(shape.width)
        self.feed_forward = FeedForward(
            shape.width, shape.feed_forward, dropout=shape.dropout, activation=shape.activation
        )
        self.dropout = Dropout(shape.dropout)

    def forward(
        self,
        tokens: Tensor,
        memory: Tensor,
        present: Tensor | None = None,
        memory_present: Tensor | None = None,
    ) -> Tensor:
        normal = self.self_norm(tokens)
        tokens = tokens + self.dropout(self.self_attention(normal, normal, present, causal=True))
        tokens = tokens + self.dropout(self.cross_attention(self.cross_norm(tokens), memory, memory_present))
        tokens = tokens + self.dropout(self.feed_forward(self.feed_forward_norm(tokens)))
        return tokens

    def step(
        self,
        token: Tensor,
        read: KeysValues | None,
        memory: KeysValues,
        memory_visible: Tensor | None,
        *,
        place: int,
    ) -> tuple[Tensor, KeysValues]:
        """Return the next token ``[B, 1, W]`` decoded, in evaluation mode, and what was ``read`` with it.

        Each row of ``memory`` is that of as many sequences beside each other as there are more of these.
        """
        normal = self.self_norm(token)
        key, value = self.self_attention.keys_values(normal, place)
        if read is not None:
            key, value = torch.cat([read[0], key], 2), torch.cat([read[1], value], 2)
        token = token + self.self_attention.attend(normal, (key, value), place=place)
        together = self.cross_norm(token).view(len(memory[0]), -1, token.shape[-1])
        token = token + self.cross_attention.attend(together, memory, memory_visible).view(token.shape)
        token = token + self.feed_forward(self.feed_forward_norm(token))
        return token, (key, value)


class Decoder(nn.Module):
    """Decoder layers, one after the other, and a last normalisation.

    Shape:
        tokens ``[B, T, W]``, memory ``[B, S, W]``, present ``[B, T]``, memory_present ``[B, S]`` → ``[B, T, W]``.
    """

    def __init__(self, layers: int, shape: LayerShape) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(shape) for _ in range(layers))
        self.norm = nn.LayerNorm(shape.width)

    def in_order(self) -> Iterator[DecoderLayer]:
        """Return the layers, from the tokens on."""
        return (cast(DecoderLayer, layer) for layer in self.layers)

    def forward(
        self,
        tokens: Tensor,
        memory: Tensor,
        present: Tensor | None = None,
        memory_present: Tensor | None = None,
    ) -> Tensor:
        for layer in self.in_order():
            tokens = layer(tokens, memory, present, memory_present)
        normal: Tensor = self.norm(tokens)
        return normal
