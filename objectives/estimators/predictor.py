"""A fitted estimator in a network's place: it maps inputs to the outputs that metrics and losses take."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Predictor(nn.Module):
    """A fitted classifier or regressor, as a module without weights.

    A classifier without ``predict_proba`` is judged by its decision function, taken for logits. What it answers counts,
    as in scikit-learn, where that is not its most probable class: a support vector machine lets pairs vote.

    Shape: inputs ``[N, features]`` → logarithms of probabilities ``[N, C]``, or values ``[N, T]``; float64.
    """

    def __init__(self, estimator: Any, *, classes: int | None) -> None:
        super().__init__()
        self.estimator = estimator
        self.classes = classes

    def forward(self, inputs: Tensor) -> Tensor:
        rows = inputs.cpu().numpy()
        if self.classes is None:
            values = np.asarray(self.estimator.predict(rows), dtype=np.float64)
            return torch.from_numpy(values.reshape(len(rows), -1))
        return torch.from_numpy(self._scores(rows))

    def _scores(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        called = np.asarray(self.estimator.predict(rows), dtype=np.int64)
        if hasattr(self.estimator, "predict_proba"):
            scores = _logarithms(self.estimator.predict_proba(rows))
        elif hasattr(self.estimator, "decision_function"):
            scores = np.asarray(self.estimator.decision_function(rows), dtype=np.float64)
        else:
            scores = _logarithms(np.eye(self.classes or 0)[called])
        if scores.ndim == 1:
            scores = np.column_stack([-scores / 2, scores / 2])
        at_odds = scores.argmax(1) != called
        scores[at_odds, called[at_odds]] = scores[at_odds].max(1) + 1e-9
        return scores


def _logarithms(probabilities: Any) -> NDArray[np.float64]:
    """As scikit-learn's ``log_loss`` has it: a probability of 0 counts as the smallest step above it."""
    smallest = np.finfo(np.float64).eps
    return np.log(np.clip(np.asarray(probabilities, dtype=np.float64), smallest, 1.0))
