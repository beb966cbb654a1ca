"""What a finished network is worth: every metric on both parts, its generalisation gap, and a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tuner import attributes, metrics
from tuner.verdict import skill, verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from tuner.metrics import Metric
    from tuner.trainable import Trainable
    from tuner.training import Dataset, Loss, Part

MOST_CLASSES_SHOWN = 20
"""A confusion matrix of more classes is not kept with the trial."""
_AVERAGES = ("_macro", "_micro", "_weighted")


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A metric that sees outputs and targets in the units people use."""

    metric: Metric
    trainable: Trainable

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.metric.name

    @property
    def direction(self) -> str:
        """``maximize`` or ``minimize``."""
        return self.metric.direction

    def __call__(self, outputs: Tensor, targets: Tensor, /) -> Tensor:
        """Return the ``[M]`` scores of outputs ``[M, N, …]`` for targets ``[N, …]``."""
        return self.metric(self.trainable.decode(outputs), self.trainable.decode(targets))


def decoded_metrics(trainable: Trainable) -> list[Decoded]:
    """Return the metrics that are optimised."""
    return [Decoded(metric=metric, trainable=trainable) for metric in trainable.metrics()]


@dataclass(frozen=True, kw_only=True)
class Constant:
    """The best constant answer, chosen by the loss on the training part: what every network should beat."""

    training_loss: float
    validation_loss: float
    score: float
    """The first optimised metric on the validation part."""


def assess(module: nn.Module, trainable: Trainable, dataset: Dataset, loss: Loss, constant: Constant) -> dict[str, Any]:
    """Return what is noted with a finished trial, from its restored weights in inference mode.

    The keys are those of :mod:`tuner.attributes`. The gap is validation loss less training loss, penalties aside.
    """
    scored = [Decoded(metric=metric, trainable=trainable) for metric in _reported(trainable.metrics())]
    training = _scores(module, dataset.training, loss, scored)
    validation = _scores(module, dataset.validation, loss, scored)
    score = validation[scored[0].name]
    classifies = scored[0].metric.task == "classification"
    judged = verdict(
        training=skill(training["loss"], constant.training_loss),
        validation=skill(validation["loss"], constant.validation_loss),
        mostly_right=classifies and score is not None and scored[0].metric.better(score, constant.score),
    )
    matrix = _confusion_matrix(module, dataset.validation, trainable)
    if matrix is not None:
        validation["confusion_matrix"] = matrix
    return {
        attributes.TRAINING: training,
        attributes.VALIDATION: validation,
        attributes.GENERALISATION_GAP: validation["loss"] - training["loss"],
        attributes.VERDICT: judged,
        attributes.NETWORK_PARAMETERS: sum(p.numel() for p in module.parameters() if p.requires_grad),
    }


def best_constant(loss: Loss, dataset: Dataset, metric: Decoded, outputs: int) -> Constant:
    """Return the best constant answer ``[outputs]``.

    It is found by minimising the loss itself, so it serves any loss that is differentiable.
    """
    from scipy.optimize import minimize  # torch.optim.LBFGS would import a compiler, for seconds

    def value_and_slope(answer: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        guess = torch.tensor(answer, dtype=torch.float32, device=dataset.training.targets.device, requires_grad=True)
        value = _constant(loss, guess, dataset.training)
        (slope,) = torch.autograd.grad(value, guess)
        return float(value.detach()), slope.double().cpu().numpy()

    best = minimize(value_and_slope, np.zeros(outputs), jac=True, method="L-BFGS-B").x
    part = dataset.validation
    with torch.no_grad():
        answer = torch.tensor(best, dtype=torch.float32, device=part.targets.device)
        score = float(metric(answer.expand(1, len(part), -1), part.targets))
        return Constant(
            training_loss=float(_constant(loss, answer, dataset.training)),
            validation_loss=float(_constant(loss, answer, part)),
            score=score,
        )


def _constant(loss: Loss, answer: Tensor, part: Part) -> Tensor:
    return loss(answer.expand(1, len(part), -1), part.targets.unsqueeze(0)).sum()


def _reported(optimised: Sequence[Metric]) -> list[Metric]:
    """The optimised metrics and the plain ones of the same task."""
    plain = [
        metric for metric in metrics.METRICS if metric.task == optimised[0].task and not metric.name.endswith(_AVERAGES)
    ]
    return list({metric.name: metric for metric in (*optimised, *plain)}.values())


def _scores(module: nn.Module, part: Part, loss: Loss, scored: Sequence[Decoded]) -> dict[str, Any]:
    from tuner.training.network import predict

    outputs = predict(module, part.feeds).unsqueeze(0)
    scores = {"loss": float(loss(outputs, part.targets.unsqueeze(0)))}
    return scores | {metric.name: _finite(float(metric(outputs, part.targets))) for metric in scored}


def _finite(value: float) -> float | None:
    """A score that is not defined here (R² of one row, say) is noted as null."""
    return value if math.isfinite(value) else None


def _confusion_matrix(module: nn.Module, part: Part, trainable: Trainable) -> list[list[int]] | None:
    from tuner.scores import confusion_matrix
    from tuner.training.network import predict

    if trainable.metrics()[0].task != "classification":
        return None
    outputs = predict(module, part.feeds).unsqueeze(0)
    if outputs.ndim != 3 or outputs.shape[-1] > MOST_CLASSES_SHOWN:
        return None
    matrix: list[list[int]] = confusion_matrix(outputs, part.targets)[0].to(torch.int64).tolist()
    return matrix
