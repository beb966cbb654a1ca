"""Networks that read texts: a Transformer encoder, and a bag of embeddings to measure it by.

Shapes: ``B`` texts of ``L`` tokens, ``W`` numbers a token. What padding holds never reaches an output.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from objectives.text.tokenizers import PAD
from objectives.transformer.embedding import TokenEmbedding
from objectives.transformer.encoder import Encoder
from objectives.transformer.layers import Dropout
from objectives.transformer.padding import by_length
from objectives.transformer.shape import LayerShape


def pooled(tokens: Tensor, present: Tensor, pooling: str) -> Tensor:
    """Return one vector a text: the mean or maximum of its tokens, or its first token (``cls``).

    Shape:
        tokens ``[B, L, W]``, present ``[B, L]`` with at least one token a text → ``[B, W]``.
    """
    if pooling == "cls":
        return tokens[:, 0]
    mask = present.unsqueeze(-1)
    if pooling == "max":
        return torch.where(mask, tokens, float("-inf")).amax(1)
    return torch.where(mask, tokens, 0.0).sum(1) / mask.sum(1)


class TransformerEncoder(nn.Module):
    """Embedded tokens pass the encoder; a linear layer reads their pooled vector.

    Shape:
        token numbers ``[B, L]``, the first of each text no padding → ``[B, outputs]``.
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        longest: int,
        layers: int,
        shape: LayerShape,
        positions: str,
        pooling: str,
        outputs: int,
    ) -> None:
        super().__init__()
        self.pooling = pooling
        self.embedding = TokenEmbedding(
            vocabulary, shape.width, positions=positions, longest=longest, dropout=shape.dropout
        )
        self.encoder = Encoder(layers, shape)
        self.head = nn.Linear(shape.width, outputs)

    def forward(self, numbers: Tensor) -> Tensor:
        return by_length(self._read, numbers, PAD)

    def _read(self, numbers: Tensor) -> Tensor:
        present = numbers != PAD
        encoded = self.encoder(self.embedding(numbers), present)
        outputs: Tensor = self.head(pooled(encoded, present, self.pooling))
        return outputs


class BagOfEmbeddings(nn.Module):
    """A linear layer reads the mean of the tokens' embeddings: their order counts for nothing.

    That is fastText without its n-grams (Joulin et al., "Bag of Tricks for Efficient Text Classification", 2017).

    Shape:
        token numbers ``[B, L]``, the first of each text no padding → ``[B, outputs]``.
    """

    def __init__(self, *, vocabulary: int, width: int, dropout: float, outputs: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(width, outputs)

    def forward(self, numbers: Tensor) -> Tensor:
        mean = pooled(self.embedding(numbers), numbers != PAD, "mean")
        outputs: Tensor = self.head(self.dropout(mean))
        return outputs
