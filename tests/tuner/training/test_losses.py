from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.tuner.training.making import curve, member, mlp, train
from tuner.training import Member, RecipeError
from tuner.training.losses import (
    LOSSES,
    BinaryCrossEntropy,
    CrossEntropy,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
)

MEMBERS, BATCH, OUTPUTS = 3, 11, 4
CLASSES = torch.randint(OUTPUTS, (MEMBERS, BATCH), generator=torch.Generator().manual_seed(1))
VALUES = torch.randn(MEMBERS, BATCH, OUTPUTS, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
WEIGHTS = (0.5, 2.0, 1.0, 3.0)

Reference = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Focal(Loss):
    """A loss of one's own: easy samples count for less."""

    name = "focal"

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        scores = torch.log_softmax(outputs, -1).gather(-1, targets.unsqueeze(-1)).flatten(1)
        return -((1.0 - scores.exp()) ** 2 * scores).mean(1)


CASES: dict[str, tuple[Loss, Reference, Tensor]] = {
    "cross entropy": (CrossEntropy(), functional.cross_entropy, CLASSES),
    "smoothed": (
        CrossEntropy(label_smoothing=0.2),
        lambda o, t: functional.cross_entropy(o, t, label_smoothing=0.2),
        CLASSES,
    ),
    "weighted": (
        CrossEntropy(class_weights=WEIGHTS),
        lambda o, t: functional.cross_entropy(o, t, weight=torch.tensor(WEIGHTS, dtype=o.dtype)),
        CLASSES,
    ),
    "weighted and smoothed": (
        CrossEntropy(class_weights=WEIGHTS, label_smoothing=0.1),
        lambda o, t: functional.cross_entropy(o, t, weight=torch.tensor(WEIGHTS, dtype=o.dtype), label_smoothing=0.1),
        CLASSES,
    ),
    "padding ignored": (
        CrossEntropy(ignore_index=2, label_smoothing=0.1),
        lambda o, t: functional.cross_entropy(o, t, ignore_index=2, label_smoothing=0.1),
        CLASSES,
    ),
    "binary cross entropy": (
        BinaryCrossEntropy(),
        functional.binary_cross_entropy_with_logits,
        VALUES.sigmoid(),
    ),
    "own": (Focal(), lambda o, t: Focal()(o.unsqueeze(0), t.unsqueeze(0)).squeeze(0), CLASSES),
    "mse": (MeanSquaredError(), functional.mse_loss, VALUES),
    "mae": (MeanAbsoluteError(), functional.l1_loss, VALUES),
    "huber": (Huber(delta=0.7), lambda o, t: functional.huber_loss(o, t, delta=0.7), VALUES),
}


def test_a_loss_of_ones_own_trains_by_hand_written_gradients_as_by_autograd() -> None:
    def one(network: Callable[[], nn.Module]) -> Member:
        return member(0, network=network, loss=Focal(), epochs=3)

    by_hand, by_autograd = one(mlp), one(lambda: nn.Sequential(mlp()))
    torch.testing.assert_close(curve(train([by_hand])[0]), curve(train([by_autograd])[0]), rtol=1e-9, atol=1e-11)


def outputs() -> Tensor:
    return 2.0 * torch.randn(MEMBERS, BATCH, OUTPUTS, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("name", CASES)
def test_a_loss_and_its_gradient_are_those_of_torch_for_every_member(name: str) -> None:
    loss, reference, targets = CASES[name]
    ours = outputs().requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    expected = torch.stack([reference(o, t) for o, t in zip(theirs, targets, strict=True)])
    torch.autograd.backward(expected.sum())
    gradient = torch.empty_like(ours.mT.contiguous())
    with torch.inference_mode():
        prepared = loss.prepare(torch.stack([targets.flip(1), targets]), OUTPUTS, ours.dtype)[1]
        values = loss.backward(ours.mT.contiguous(), prepared, gradient)
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(gradient.mT, theirs.grad)

    value = loss(ours, targets)
    torch.autograd.backward(value.sum())
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_cross_entropy_reads_sequences_with_the_classes_last() -> None:
    scores = torch.randn(2, 3, 5, OUTPUTS, dtype=torch.float64)
    targets = torch.randint(OUTPUTS, (2, 3, 5))
    expected = torch.stack([functional.cross_entropy(s.mT, t) for s, t in zip(scores, targets, strict=True)])
    torch.testing.assert_close(CrossEntropy()(scores, targets), expected)


def test_single_targets_fit_a_single_output() -> None:
    values = torch.randn(2, 6)
    torch.testing.assert_close(MeanSquaredError()(values.unsqueeze(-1) + 1.0, values), torch.ones(2))


def test_targets_that_would_broadcast_are_refused() -> None:
    with pytest.raises(ValueError, match=r"targets \[2, 6, 1\] do not fit outputs \[2, 6, 3\]"):
        MeanSquaredError()(torch.zeros(2, 6, 3), torch.zeros(2, 6, 1))
    with pytest.raises(ValueError, match=r"targets \[4, 2, 6, 1\] do not fit outputs \[4, 2, 6, 3\]"):
        MeanSquaredError().prepare(torch.zeros(4, 2, 6), 3, torch.float32)


@pytest.mark.parametrize(
    ("targets", "outputs", "says"),
    [
        (torch.zeros(1, 4), 2, r"wants whole-number class targets \(int64\); these are float32"),
        (torch.tensor([[0, 4, 0]]), 1, "the network gives 1 output, the targets have 5 classes"),
        (torch.tensor([[0, 4, 0]]), 3, "the network gives 3 outputs, the targets have 5 classes"),
        (torch.tensor([[0, -1, 0]]), 3, "numbers classes from 0; the targets hold -1"),
    ],
)
@pytest.mark.parametrize("loss", [CrossEntropy(), CrossEntropy(label_smoothing=0.1), CrossEntropy(ignore_index=2)])
def test_targets_that_are_no_classes_of_the_network_are_told_so(
    loss: CrossEntropy, targets: Tensor, outputs: int, says: str
) -> None:
    with pytest.raises(RecipeError, match=says):
        loss(torch.zeros(*targets.shape, outputs), targets)
    with pytest.raises(RecipeError, match=says):
        loss.prepare(targets.unsqueeze(0), outputs, torch.float32)
    with pytest.raises(RecipeError, match=says):
        loss.best_constant(targets, outputs)


def test_losses_of_the_same_settings_are_equal() -> None:
    assert CrossEntropy(label_smoothing=0.1) == CrossEntropy(label_smoothing=0.1)
    assert CrossEntropy(label_smoothing=0.1) != CrossEntropy()
    assert len({MeanSquaredError(), MeanAbsoluteError(), MeanSquaredError()}) == 2
    assert set(LOSSES) == {"cross_entropy", "binary_cross_entropy", "mse", "mae", "huber"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CrossEntropy(label_smoothing=1.5), "label_smoothing must be between 0 and 1, got 1.5"),
        (lambda: CrossEntropy(class_weights=(1.0, -1.0)), "class_weights must be 0 or more"),
        (lambda: Huber(delta=0.0), "delta must be above 0, got 0.0"),
        (lambda: CrossEntropy(class_weights=(1.0,))(torch.zeros(1, 1, 2), torch.zeros(1, 1).long()), "1 class weights"),
    ],
)
def test_impossible_losses_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
