"""Pre-training on texts without labels, and beginning with what came of it."""

from objectives.pretraining.pretraining import Pretraining

__all__ = ["Pretraining"]
