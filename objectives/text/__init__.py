"""Text: tokenizers, and texts of which a class or a number is predicted."""

from objectives.text.text import Text

__all__ = ["Text"]
