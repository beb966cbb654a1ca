"""What a finished network is worth: every metric on both parts, its generalisation gap, and a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tuner import attributes, metrics
from tuner.scores import confusion_matrix
from tuner.training.judging import CHUNK_BYTES, judge
from tuner.training.network import predict
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

    @property
    def additive(self) -> bool:
        """Whether the metric is."""
        return self.metric.additive

    def sums(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the ``[M]`` sums of an additive metric."""
        return self.metric.sums(self.trainable.decode(outputs), self.trainable.decode(targets))

    def from_sums(self, over: Tensor, under: Tensor) -> Tensor:
        """Return the ``[M]`` scores that the sums come to."""
        return self.metric.from_sums(over, under)


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
    scored = reported_metrics(trainable)
    training = _scores(module, dataset.training, loss, scored)
    validation = _scores(module, dataset.validation, loss, scored)
    outputs = _of_classes(module, dataset.validation, trainable)
    judged = verdict(
        training=skill(training["loss"], constant.training_loss),
        validation=skill(validation["loss"], constant.validation_loss),
        by_metric=_skill_by_metric(scored[0].metric, validation[scored[0].name], constant.score),
        too_sure=outputs is None or _too_sure(outputs, dataset.validation.targets),
    )
    if outputs is not None and outputs.shape[-1] <= MOST_CLASSES_SHOWN:
        matrix = confusion_matrix(outputs.unsqueeze(0), dataset.validation.targets)[0]
        validation["confusion_matrix"] = matrix.to(torch.int64).tolist()
    return {
        attributes.TRAINING: training,
        attributes.VALIDATION: validation,
        attributes.GENERALISATION_GAP: validation["loss"] - training["loss"],
        attributes.VERDICT: judged,
        attributes.NETWORK_PARAMETERS: sum(p.numel() for p in module.parameters() if p.requires_grad),
    }


def _skill_by_metric(metric: Metric, score: float | None, constant: float) -> float:
    """Return how far a classifier's score has come from the constant answer's to the best there is; others: 0."""
    ideal = 1.0 if metric.direction == "maximize" else 0.0
    if metric.task == "regression" or score is None or constant == ideal:
        return 0.0
    return (score - constant) / (ideal - constant)


def best_constant(loss: Loss, dataset: Dataset, metric: Decoded, shape: Sequence[int]) -> Constant:
    """Return the best constant answer of a network whose outputs for one sample are of ``shape``.

    It is the same at every place of a sequence.
    """
    answer = _best_answer(loss, dataset.training, shape)
    part = dataset.validation
    with torch.no_grad():
        _, (score,) = judge(lambda feeds: answer.expand(1, len(feeds[0]), *shape), part, loss, [metric])
        return Constant(
            training_loss=float(_constant(loss, answer, dataset.training, shape)),
            validation_loss=float(_constant(loss, answer, part, shape)),
            score=float(score),
        )


def _best_answer(loss: Loss, part: Part, shape: Sequence[int]) -> Tensor:
    """Return the answer: in closed form or, for any loss that is differentiable, by minimising the loss itself."""
    if loss.additive:
        return loss.best_constant(part.targets, shape[-1])
    from scipy.optimize import minimize  # torch.optim.LBFGS would import a compiler, for seconds

    device = part.targets.device

    def value_and_slope(answer: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        guess = torch.tensor(answer, dtype=torch.float32, device=device, requires_grad=True)
        value = _constant(loss, guess, part, shape)
        (slope,) = torch.autograd.grad(value, guess)
        return float(value.detach()), slope.double().cpu().numpy()

    best = minimize(value_and_slope, np.zeros(shape[-1]), jac=True, method="L-BFGS-B").x
    return torch.tensor(best, dtype=torch.float32, device=device)


def _constant(loss: Loss, answer: Tensor, part: Part, shape: Sequence[int]) -> Tensor:
    """Return the loss of a constant answer; of an additive one each different target is looked at once."""
    if not loss.additive:
        return loss(answer.expand(1, len(part), *shape), part.targets.unsqueeze(0)).sum()
    targets, counts = torch.unique(part.targets, return_counts=True)
    some = targets.split(max(1, CHUNK_BYTES // (answer.numel() * answer.element_size())))
    sums = [torch.stack(loss.sums(answer.expand(len(one), 1, -1), one.unsqueeze(1))) for one in some]
    over, under = torch.cat(sums, 1).mul(counts).sum(1)
    return loss.from_sums(over, under)


def reported_metrics(trainable: Trainable) -> list[Decoded]:
    """Return the metrics that are optimised, then the plain ones of the same task."""
    optimised = trainable.metrics()
    plain = [
        metric for metric in metrics.METRICS if metric.task == optimised[0].task and not metric.name.endswith(_AVERAGES)
    ]
    reported = {metric.name: metric for metric in (*optimised, *plain)}.values()
    return [Decoded(metric=metric, trainable=trainable) for metric in reported]


def _scores(module: nn.Module, part: Part, loss: Loss, scored: Sequence[Decoded]) -> dict[str, Any]:
    value, scores = judge(lambda feeds: predict(module, feeds).unsqueeze(0), part, loss, scored)
    named = {metric.name: _finite(float(score)) for metric, score in zip(scored, scores, strict=True)}
    return {"loss": float(value), **named}


def _finite(value: float) -> float | None:
    """A score that is not defined here (the ROC AUC of one class, say) is noted as null."""
    return value if math.isfinite(value) else None


def _of_classes(module: nn.Module, part: Part, trainable: Trainable) -> Tensor | None:
    """Return the outputs ``[N, classes]`` of a network that tells classes apart; of any other ``None``."""
    if trainable.metrics()[0].task != "classification":
        return None
    outputs = predict(module, part.feeds)
    return outputs if outputs.ndim == 2 and part.targets.ndim == 1 else None


def _too_sure(outputs: Tensor, targets: Tensor) -> bool:
    """Whether the mean probability of the answers exceeds the share of them that is right (Guo et al. 2017)."""
    sure, answers = outputs.softmax(-1).max(-1)
    return float(sure.mean()) > float((answers == targets).double().mean())
