from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.tuner.training.making import mlp
from tuner.training.activations import ACTIVATIONS
from tuner.training.analytic import AnalyticMLP
from tuner.training.losses import CrossEntropy, Huber, Loss, MeanAbsoluteError, MeanSquaredError
from tuner.training.mlp import MLP
from tuner.training.network import Autograd, Layout

BATCH = 9


class Side:
    """Networks on rows of one buffer."""

    def __init__(self, kind: type[AnalyticMLP] | type[Autograd], modules: list[Any], loss: Loss) -> None:
        self.layout = Layout.of(modules[0])
        self.weights = torch.stack([self.layout.read(module) for module in modules])
        self.gradient = torch.full_like(self.weights, torch.nan)
        self.network = kind(modules, loss, self.layout, self.weights, self.gradient)

    def learn(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        with self.network.epoch([0] * len(self.weights)):
            loss = self.network.forward_backward((x,), self.network.prepare(y.unsqueeze(0))[0])
        return loss, self.gradient.clone()


def samples(members: int, loss: Loss) -> tuple[Tensor, Tensor]:
    x = torch.randn(members, BATCH, 5, dtype=torch.float64)
    if isinstance(loss, CrossEntropy):
        return x, torch.randint(3, (members, BATCH))
    return x, torch.randn(members, BATCH, 3, dtype=torch.float64)


def assert_gradients_equal(members: int, loss: Loss, **settings: Any) -> None:
    modules = [mlp(**settings) for _ in range(members)]
    for module in modules:
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.7)
    x, y = samples(members, loss)
    ours = Side(AnalyticMLP, modules, loss).learn(x, y)
    theirs = Side(Autograd, modules, loss).learn(x, y)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("normalization", ["none", "layer", "batch"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_are_those_of_autograd_for_every_activation(activation: str, normalization: str) -> None:
    assert_gradients_equal(3, CrossEntropy(), activation=activation, normalization=normalization)


def test_running_statistics_are_those_of_the_module() -> None:
    modules = [mlp(normalization="batch") for _ in range(3)]
    x, y = samples(3, CrossEntropy())
    ours = Side(AnalyticMLP, modules, CrossEntropy())
    for _ in range(2):
        ours.learn(x, y)
    for index, module in enumerate(modules):
        module.train()
        for _ in range(2):
            module(x[index])
        for name, buffer in module.named_buffers():
            torch.testing.assert_close(ours.network.buffers()[name][index], buffer)
    torch.testing.assert_close(ours.network.predict((x[0],))[1], modules[1].eval()(x[0]))


@pytest.mark.parametrize("hidden", [(), (4,), (8, 3, 6, 5)], ids=str)
@pytest.mark.parametrize("members", [1, 4])
def test_gradients_are_those_of_autograd_for_every_depth(hidden: tuple[int, ...], members: int) -> None:
    assert_gradients_equal(members, CrossEntropy(), hidden=hidden)


@pytest.mark.parametrize("members", [1, 2])
def test_gradients_of_wide_layers_are_those_of_autograd(members: int) -> None:
    assert_gradients_equal(members, CrossEntropy(), hidden=(80, 70))


@pytest.mark.parametrize(
    "loss",
    [
        CrossEntropy(label_smoothing=0.2, class_weights=(0.3, 1.0, 2.0)),
        MeanSquaredError(),
        MeanAbsoluteError(),
        Huber(delta=0.5),
    ],
    ids=lambda loss: loss.name,
)
def test_gradients_are_those_of_autograd_for_every_loss(loss: Loss) -> None:
    assert_gradients_equal(3, loss)


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
@pytest.mark.parametrize("normalization", ["none", "layer", "batch"])
def test_gradients_under_dropout_are_those_of_autograd_with_the_same_masks(
    activation: str, normalization: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = [
        mlp(activation=activation, normalization=normalization, dropout=rate, hidden=(30, 20))
        for rate in (0.3, 0.0, 0.6)
    ]
    ours = Side(AnalyticMLP, modules, CrossEntropy())
    x, y = samples(3, CrossEntropy())
    loss, gradient = ours.learn(x, y)
    work = ours.network._workspaces[BATCH]  # type: ignore[union-attr]
    masks = [layer.mask.clone() for layer in work[:-1]]  # type: ignore[union-attr]
    assert [round((mask[2] == 0).double().mean().item(), 1) for mask in masks] == [0.6, 0.6]
    assert all(bool((mask[1] == 1).all()) for mask in masks)
    torch.testing.assert_close(masks[0].max(), torch.tensor(1 / 0.4, dtype=torch.float64))

    for index, module in enumerate(modules):
        layers = iter([mask[index] for mask in masks])
        monkeypatch.setattr(module.drop, "forward", lambda h, layers=layers: h * next(layers))
    theirs = Side(Autograd, modules, CrossEntropy())
    torch.testing.assert_close((loss, gradient), theirs.learn(x, y))


@pytest.mark.parametrize("normalization", ["none", "layer", "batch"])
def test_predictions_are_those_of_the_modules_in_evaluation_mode(
    normalization: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.training.analytic.PREDICTED_NUMBERS", 100)
    modules = [mlp(dropout=0.5, activation="silu", normalization=normalization) for _ in range(3)]
    side = Side(AnalyticMLP, modules, CrossEntropy())
    x = torch.randn(31, 5, dtype=torch.float64)
    expected = torch.stack([module.eval()(x) for module in modules])
    torch.testing.assert_close(side.network.predict((x,)), expected)


def test_images_are_flattened() -> None:
    modules = [mlp(inputs=12) for _ in range(2)]
    side = Side(AnalyticMLP, modules, CrossEntropy())
    x, y = torch.randn(2, BATCH, 3, 4, dtype=torch.float64), torch.randint(3, (2, BATCH))
    torch.testing.assert_close(side.learn(x, y), Side(Autograd, modules, CrossEntropy()).learn(x, y))
    torch.testing.assert_close(side.network.predict((x[0],))[1], modules[1](x[0]))


def test_a_nan_in_one_member_reaches_no_other() -> None:
    side = Side(AnalyticMLP, [mlp(normalization="layer") for _ in range(3)], CrossEntropy())
    side.weights[1, 3] = torch.nan
    loss, gradient = side.learn(*samples(3, CrossEntropy()))
    assert loss.isnan().tolist() == [False, True, False]
    assert gradient[[0, 2]].isfinite().all()


def test_networks_that_are_no_plain_mlp_are_left_to_autograd() -> None:
    class Other(MLP):
        pass

    frozen = mlp()
    frozen.layers[0].requires_grad_(False)
    assert AnalyticMLP.accepts(mlp())
    assert not AnalyticMLP.accepts(Other(inputs=2, outputs=2))
    assert not AnalyticMLP.accepts(frozen)
