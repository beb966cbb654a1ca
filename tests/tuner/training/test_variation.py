from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.tuner.training import making
from tuner.training import Cohort, Dataset, Member


def jittered(inputs: tuple[Tensor, ...], targets: Tensor, chance: torch.Generator) -> tuple[tuple[Tensor, ...], Tensor]:
    """Move the points a little."""
    (points,) = inputs
    return (points + torch.randn(points.shape, generator=chance, dtype=points.dtype),), targets


def data() -> Dataset:
    plain = making.blobs()
    return replace(plain, training=replace(plain.training, vary=jittered))


def linear() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 3, dtype=torch.float64))


@pytest.mark.parametrize("network", [making.mlp, linear], ids=["analytic", "autograd"])
def test_varied_batches_are_a_members_own_in_any_cohort(network: type) -> None:
    together = [making.member(i, network=network) for i in range(3)]
    alone = [making.member(i, network=network) for i in range(3)]
    curves = making.train(together, data())
    for one, same in zip(together, alone, strict=True):
        making.assert_same(one, curves[one.number], same, making.train([same], data())[same.number])
    plain = making.member(0, network=network)
    assert making.train([plain])[0][-1].training_loss != curves[0][-1].training_loss


def test_each_epoch_varies_otherwise_and_a_member_that_continues_as_if_it_had_not_stopped() -> None:
    still: dict[str, Any] = {"learning_rate": 1e-12, "epochs": 4, "optimizer": "sgd"}
    whole, first, second = (making.member(1, **still) for _ in range(3))
    losses = [result.training_loss for result in making.train([whole], data())[1]]
    assert len({round(loss, 6) for loss in losses}) == 4
    cohort = Cohort(data(), [making.Accuracy()])
    cohort.join(first)
    cohort.epoch()
    second.restore(*first.state())
    rest = [result.training_loss for result in making.train([second], data())[1]]
    assert rest == pytest.approx(losses[1:])


def test_what_is_judged_does_not_vary() -> None:
    seen: list[int] = []

    def vary(inputs: tuple[Tensor, ...], targets: Tensor, _: torch.Generator) -> tuple[tuple[Tensor, ...], Tensor]:
        seen.append(len(targets))
        return inputs, targets

    plain = making.blobs()
    dataset = replace(plain, training=replace(plain.training, vary=vary))
    varied, same = making.member(0), making.member(0)
    making.assert_same(varied, making.train([varied], dataset)[0], same, making.train([same])[0])
    assert sum(seen) == 5 * len(dataset.training)
    assert isinstance(varied, Member)
