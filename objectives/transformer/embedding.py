"""From token numbers to vectors that know their places."""

from __future__ import annotations

from torch import Tensor, nn

from objectives.transformer.hyperparameters import POSITIONS
from objectives.transformer.layers import Dropout
from objectives.transformer.positions import LearnedPositions, SinusoidalPositions


class TokenEmbedding(nn.Module):
    """A vector for each token of a vocabulary, with its position added, and dropout (Vaswani et al. 2017, 3.4, 3.5).

    Vectors are drawn with variance ``1 / width`` and multiplied by ``sqrt(width)``, so that the same table can serve as
    the output layer (``weight``). ``positions`` is one of ``POSITIONS``; ``rotary`` and ``none`` add nothing.
    ``longest`` is the most tokens of a sequence that learned positions are for.

    Shape:
        token numbers ``[B, T]`` → ``[B, T, W]``.
    """

    def __init__(
        self, vocabulary: int, width: int, *, positions: str = "sinusoidal", longest: int = 512, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if positions not in POSITIONS:
            raise ValueError(f"positions must be one of {', '.join(POSITIONS)}, got {positions!r}")
        self.tokens = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.tokens.weight, std=width**-0.5)
        self.positions: nn.Module | None = None
        if positions == "sinusoidal":
            self.positions = SinusoidalPositions()
        elif positions == "learned":
            self.positions = LearnedPositions(longest, width)
        self.dropout = Dropout(dropout)
        self.scale = width**0.5

    @property
    def weight(self) -> Tensor:
        """The table of vectors ``[vocabulary, W]``."""
        return self.tokens.weight

    def forward(self, numbers: Tensor, place: int = 0) -> Tensor:
        """Return the vectors of tokens of which the first has this place in its sequence."""
        vectors: Tensor = self.tokens(numbers) * self.scale
        if self.positions is not None:
            vectors = vectors + self.positions(vectors, place)
        dropped: Tensor = self.dropout(vectors)
        return dropped
