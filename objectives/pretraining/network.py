"""The network that is pre-trained: the encoder of texts with an output for each token."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from objectives.text.tokenizers import PAD
from objectives.transformer.embedding import TokenEmbedding
from objectives.transformer.encoder import Encoder
from objectives.transformer.shape import LayerShape


class LanguageModel(nn.Module):
    """Embedded tokens pass the encoder; the embedding's own table turns what comes out into scores of all tokens.

    With ``causal`` each token sees only itself and those before it. ``embedding`` and ``encoder`` are named as in the
    networks that are fine-tuned.

    Shape:
        token numbers ``[B, L]``, the first of each text no padding → ``[B, L, vocabulary]``.
    """

    def __init__(
        self, *, vocabulary: int, longest: int, layers: int, shape: LayerShape, positions: str, causal: bool
    ) -> None:
        super().__init__()
        self.causal = causal
        self.embedding = TokenEmbedding(
            vocabulary, shape.width, positions=positions, longest=longest, dropout=shape.dropout
        )
        self.encoder = Encoder(layers, shape)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, numbers: Tensor) -> Tensor:
        encoded = self.encoder(self.embedding(numbers), numbers != PAD, causal=self.causal)
        return functional.linear(encoded, self.embedding.weight, self.bias)
