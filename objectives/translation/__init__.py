"""Translation: one text into another, by a Transformer with an encoder and a decoder."""

from objectives.translation.translation import Translation

__all__ = ["Translation"]
