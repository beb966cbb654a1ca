"""What is fitted in one go: an objective with a Trainable's data, space and metrics, whose model is no network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tuner.trainable import Trainable

if TYPE_CHECKING:
    from torch import nn

    from tuner.training import Dataset


class Fittable(Trainable):
    """A Trainable without epochs: instead of a network that the engine trains it gives a model that it has fitted.

    Everything else is as the engine's: the data and its split, the declared space, metrics, verdict, and storage.
    """

    @abstractmethod
    def fit(self, dataset: Dataset, params: Mapping[str, Any], *, seed: int) -> nn.Module:
        """Return a module that predicts, fitted to the training part; all its randomness follows from ``seed``.

        Called as ``module(*inputs)`` it gives what a network would: logits or logarithms of probabilities, or values.
        """

    @property
    def no_ensemble(self) -> str:
        """Say that what is fitted in one go is not kept; scikit-learn has ensembles of its own."""
        return "is fitted in one go, and not kept"

    def network(self, params: Mapping[str, Any]) -> nn.Module:
        """Never called.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"{type(self).__name__} is fitted, not trained by epochs")
