"""How large the layers of a Transformer are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LayerShape:
    """What all layers of an encoder or decoder have in common."""

    width: int
    """Numbers a token; a multiple of ``heads``."""
    heads: int
    feed_forward: int
    """Hidden numbers of the feed-forward network."""
    dropout: float = 0.0
    """Share that is silent in training: of the feed-forward's hidden units, and of what each sublayer gives."""
    activation: str = "relu"
    """Of the feed-forward network: relu, gelu or silu."""
    rotary: bool = False
    """Whether self-attention turns queries and keys by their positions."""
