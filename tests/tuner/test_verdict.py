from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tuner import attributes, metrics
from tuner.assessment import Decoded, assess, best_constant
from tuner.trainable import ObjectiveOptions, Trainable
from tuner.training import CrossEntropy, Dataset, Loss, MeanAbsoluteError, MeanSquaredError, Part
from tuner.verdict import skill, verdict


@pytest.mark.parametrize(
    ("training", "validation", "by_metric", "said"),
    [
        (0.10, 0.12, 0.5, "generalises"),
        (0.12, 0.10, 0.5, "generalises"),
        (0.10, 0.25, 0.5, "overfits slightly"),
        (0.01, 0.60, 0.5, "overfits"),
        (0.01, 5.00, 0.5, "overfits"),
        (0.99, 1.00, 0.0, "learned nothing"),
        (1.40, 1.50, 0.0, "learned nothing"),
        (1.40, 1.50, 0.02, "learned nothing"),
        (1.40, 1.50, 0.5, "overconfident"),
        (math.nan, 0.1, 0.5, "learned nothing"),
    ],
)
def test_a_verdict_compares_both_losses_with_the_best_constant_answer(
    training: float, validation: float, by_metric: float, said: str
) -> None:
    found = verdict(training=skill(training, 1.0), validation=skill(validation, 1.0), by_metric=by_metric)
    assert found == said


def test_a_classifier_that_is_right_and_hardly_sure_of_it_is_underconfident() -> None:
    assert verdict(training=-0.1, validation=-0.1, by_metric=0.9, too_sure=False) == "underconfident"
    assert verdict(training=-0.1, validation=-0.1, by_metric=0.0, too_sure=False) == "learned nothing"


@pytest.mark.parametrize(("sure", "verdict"), [(0.1, "underconfident"), (3.0, "generalises"), (50.0, "overconfident")])
def test_how_sure_a_network_is_tells_why_its_loss_is_high(sure: float, verdict: str) -> None:
    targets = torch.arange(200) % 10 // 9  # every tenth is of class 1
    seen = targets.clone()
    seen[:4] = 1 - seen[:4]  # and four are taken for the other class
    part = Part(inputs=(torch.eye(2)[seen],), targets=targets)
    dataset = Dataset(training=part, validation=part)
    module = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        module.weight.copy_(sure * (torch.eye(2) - 0.5))
    trainable = Classes(Classes.Options(), None, seed=0)
    constant = best_constant(CrossEntropy(), dataset, Decoded(metric=metrics.get("accuracy"), trainable=trainable), [2])
    assert assess(module, trainable, dataset, CrossEntropy(), constant)[attributes.VERDICT] == verdict


class Nothing(Trainable):
    def load(self):  # type: ignore[no-untyped-def]
        raise NotImplementedError

    network = loss = load  # type: ignore[assignment]


class Classes(Nothing):
    def metrics(self) -> list[metrics.Metric]:
        return [metrics.get("accuracy")]


@pytest.mark.parametrize(
    ("loss", "metric", "targets", "outputs", "expected_loss", "expected_score"),
    [
        (MeanSquaredError(), "rmse", torch.tensor([[1.0], [2.0], [6.0]]), 1, 14 / 3, math.sqrt(14 / 3)),
        (MeanAbsoluteError(), "mae", torch.tensor([[1.0], [2.0], [6.0]]), 1, 5 / 3, 5 / 3),
        (CrossEntropy(), "accuracy", torch.tensor([0, 0, 0, 1]), 2, 0.5623, 0.75),
    ],
)
def test_the_best_constant_answer_is_the_mean_the_median_or_the_frequencies(
    loss: Loss, metric: str, targets: torch.Tensor, outputs: int, expected_loss: float, expected_score: float
) -> None:
    part = Part(inputs=(torch.zeros(len(targets), 1),), targets=targets)
    trainable = Nothing(ObjectiveOptions(), None, seed=0)
    decoded = Decoded(metric=metrics.get(metric), trainable=trainable)
    constant = best_constant(loss, Dataset(training=part, validation=part), decoded, [outputs])
    assert constant.validation_loss == pytest.approx(expected_loss, abs=2e-3)
    assert constant.score == pytest.approx(expected_score, abs=2e-3)


@pytest.mark.parametrize(
    "loss",
    [
        CrossEntropy(),
        CrossEntropy(label_smoothing=0.2),
        CrossEntropy(class_weights=(1.0, 0.5, 3.0, 2.0), label_smoothing=0.2),
        CrossEntropy(ignore_index=-100, label_smoothing=0.1),
    ],
)
def test_the_best_constant_of_cross_entropy_is_where_its_slope_is_nothing(loss: CrossEntropy) -> None:
    torch.manual_seed(0)
    targets = torch.randint(4, (1, 30, 2))
    targets[0, :9] = 1 if loss.ignore_index is None else -100
    answer = loss.best_constant(targets, 4).requires_grad_()
    (slope,) = torch.autograd.grad(loss(answer.expand(1, 30, 2, 4), targets).sum(), answer)
    assert slope.abs().max() < 1e-6


def test_a_token_that_training_never_saw_costs_the_constant_answer_much_but_not_all() -> None:
    targets = torch.tensor([0, 0, 1, 1])
    answer = CrossEntropy().best_constant(targets, 3)
    assert answer.softmax(0).tolist() == pytest.approx([2 / 4.5, 2 / 4.5, 0.5 / 4.5])


def test_the_best_constant_of_sequences_leaves_padding_out() -> None:
    training = torch.tensor([[0, 0, 1, -100], [0, 1, -100, -100]])
    validation = torch.tensor([[0, 1, 0, 0]])
    dataset = Dataset(
        training=Part(inputs=(training,), targets=training), validation=Part(inputs=(validation,), targets=validation)
    )
    decoded = Decoded(metric=metrics.get("token_accuracy"), trainable=Nothing(ObjectiveOptions(), None, seed=0))
    constant = best_constant(CrossEntropy(ignore_index=-100), dataset, decoded, [4, 2])
    assert constant.training_loss == pytest.approx(-(3 * math.log(0.6) + 2 * math.log(0.4)) / 5)
    assert constant.validation_loss == pytest.approx(-(3 * math.log(0.6) + math.log(0.4)) / 4)
    assert constant.score == 0.75


def test_a_network_that_knows_nothing_of_new_samples_does_not_generalise() -> None:
    assert verdict(training=0.06, validation=-0.01, by_metric=0.02) == "learned nothing"
    assert verdict(training=0.06, validation=-0.01, by_metric=0.3) == "overconfident"
    assert verdict(training=0.14, validation=0.02, by_metric=0.0) == "overfits slightly"
