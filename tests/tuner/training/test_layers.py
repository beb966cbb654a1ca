from __future__ import annotations

import doctest
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.tuner.training import making
from tests.tuner.training.test_optimizers import TORCH, recipes_of
from tuner.training import OPTIMIZERS, Cohort, CrossEntropy, Member, Recipe, RecipeError, layers
from tuner.training.randomness import order

DECAY = 0.4


class Net(nn.Module):
    """Parts in lists and a parameter of its own, as Transformers have them."""

    def __init__(self, *, norm: bool = False) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(5, dtype=torch.float64))
        self.embed = nn.Linear(5, 6, dtype=torch.float64)
        middle = [nn.BatchNorm1d(6, dtype=torch.float64)] if norm else []
        self.blocks = nn.ModuleList([nn.Linear(6, 6, dtype=torch.float64), *middle])
        self.head = nn.Linear(6, 3, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.embed(x + self.shift))
        for block in self.blocks:
            x = torch.tanh(block(x))
        out: Tensor = self.head(x)
        return out


LAYERS = [["shift", "embed.weight", "embed.bias"], ["blocks.0.weight", "blocks.0.bias"], ["head.weight", "head.bias"]]


def test_the_doctest_of_layers_holds() -> None:
    assert doctest.testmod(layers).failed == 0


def test_layers_follow_the_order_of_the_parts() -> None:
    assert layers.in_order(Net()) == LAYERS
    wrapped = nn.Sequential(Net())
    assert layers.in_order(wrapped) == [[f"0.{name}" for name in layer] for layer in LAYERS]


def test_a_shared_parameter_belongs_to_the_lowest_layer_that_has_it() -> None:
    net = Net()
    net.blocks.append(net.blocks[0])
    net.blocks[1] = net.embed
    assert layers.in_order(net) == LAYERS


def param_groups(module: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """What a person would give to an optimizer of torch."""
    named = dict(module.named_parameters())
    rates = [recipe.learning_rate * DECAY**2, recipe.learning_rate * DECAY, recipe.learning_rate]
    return [{"params": [named[n] for n in layer], "lr": rate} for layer, rate in zip(LAYERS, rates, strict=True)]


def trained_by_torch(member: Member, *, decay: float = 0.0) -> Tensor:
    """The member's weights after plain training with parameter groups, as a row."""
    module, recipe, part = Net(), member.recipe, making.blobs().training
    member.layout.write(member.row["weights"].clone(), module)
    optimizer = TORCH[recipe.optimizer](param_groups(module, recipe), recipe)  # type: ignore[arg-type]
    for epoch in range(recipe.epochs):
        rows = order(recipe.seed, epoch, len(part), 1.0)
        for batch in torch.split(rows, recipe.batch_size or len(part)):
            loss = nn.functional.cross_entropy(module(part.inputs[0][batch]), part.targets[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                for group in optimizer.param_groups:
                    for p in group["params"]:
                        p.mul_(1 - (group["lr"] * decay if p.ndim >= 2 else 0.0))
            optimizer.step()
    return member.layout.read(module)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_layer_learns_at_its_own_rate_as_by_parameter_groups_of_torch(optimizer: str) -> None:
    base = recipes_of(optimizer, "plain")[0]
    settings: dict[str, Any] = {"optimizer": optimizer, "batch_size": base.batch_size, "epochs": 3, "weight_decay": 0.1}
    member = making.member(3, network=Net, layer_decay=DECAY, **settings)
    expected = trained_by_torch(member, decay=0.1)
    making.train([member])
    torch.testing.assert_close(member.row["weights"], expected, rtol=1e-7, atol=1e-9)


def test_members_with_scaled_and_plain_rates_learn_together_as_alone() -> None:
    def members() -> list[Member]:
        return [making.member(i, layer_decay=decay, l2=1e-3) for i, decay in enumerate((1.0, 0.5, 0.2))]

    together, alone = members(), members()
    assert len(making.groups(together)) == 1
    curves = making.train(together)
    for one, same in zip(together, alone, strict=True):
        making.assert_same(one, curves[one.number], same, making.train([same])[same.number])


def test_frozen_layers_keep_their_weights_and_the_others_learn() -> None:
    member = making.member(4, network=Net, frozen=1, epochs=3, learning_rate=0.05)
    before = {name: value.clone() for name, value in member.module.named_parameters()}
    assert set(member.layout.shapes) == {name for layer in LAYERS[1:] for name in layer}
    making.train([member])
    for name, value in member.module.named_parameters():
        assert torch.equal(value, before[name]) == (name in LAYERS[0])


def test_however_many_layers_are_frozen_the_head_learns() -> None:
    member = making.member(network=Net, frozen=99)
    assert set(member.layout.shapes) == set(LAYERS[-1])


def test_a_frozen_multilayer_perceptron_learns_in_a_cohort_as_alone() -> None:
    together = [making.member(i, frozen=1, layer_decay=0.5) for i in range(3)]
    alone = [making.member(i, frozen=1, layer_decay=0.5) for i in range(3)]
    curves = making.train(together)
    for one, same in zip(together, alone, strict=True):
        making.assert_same(one, curves[one.number], same, making.train([same])[same.number])


def test_frozen_batch_normalization_keeps_its_statistics() -> None:
    learning, frozen = (making.member(network=lambda: Net(norm=True), frozen=n) for n in (0, 3))
    making.train([learning])
    making.train([frozen])
    assert not torch.equal(learning.row["buffer.blocks.1.running_mean"], torch.zeros(6).double())
    assert torch.equal(frozen.row["buffer.blocks.1.running_mean"], torch.zeros(6).double())


def test_a_frozen_member_continues_from_its_checkpoint_as_if_nothing_had_happened() -> None:
    settings: dict[str, Any] = {"network": Net, "frozen": 1, "layer_decay": 0.5, "epochs": 6}
    whole, first, second = (making.member(7, **settings) for _ in range(3))
    curve = making.train([whole])[7]
    cohort = Cohort(making.blobs(), [making.Accuracy()])
    cohort.join(first)
    for _ in range(3):
        cohort.epoch()
    second.restore(*first.state())
    making.assert_same(whole, curve[3:], second, making.train([second])[7])


@pytest.mark.parametrize(
    "wrong", [LAYERS[1:], [*LAYERS, ["head.wait"]], [*LAYERS, ["shift"]]], ids=["left out", "unknown", "twice"]
)
def test_layers_that_do_not_fit_the_network_are_named(wrong: list[list[str]]) -> None:
    with pytest.raises(RecipeError, match="layers of Net must name each of its parameters once; wrong are"):
        Member(
            number=0,
            recipe=making.recipe(layer_decay=0.5),
            module=Net(),
            loss=CrossEntropy(),
            layers=lambda _: wrong,
        )
