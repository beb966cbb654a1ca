from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.tuner.training.making import recipe
from tuner.training import OPTIMIZERS
from tuner.training.fused import FUSED, FusedMomentum, quickest
from tuner.training.optimizers import Momentum, Optimizer, kind
from tuner.training.recipe import Recipe

STEPS, PER_EPOCH, WIDTH = 60, 20, 13


class ReferenceLion(torch.optim.Optimizer):
    """The algorithm of Chen et al. 2023, written as in the paper."""

    def __init__(self, params: list[Tensor], lr: float, betas: tuple[float, float] = (0.9, 0.99)) -> None:
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                c = group["betas"][0] * m + (1 - group["betas"][0]) * p.grad
                p.sub_(group["lr"] * c.sign())
                m.mul_(group["betas"][1]).add_((1 - group["betas"][1]) * p.grad)


def betas(r: Recipe) -> tuple[float, float]:
    return (r.beta1, 0.999 if r.beta2 is None else r.beta2)


Take = Callable[[type[Optimizer]], type[Optimizer]]
WAYS = [
    pytest.param(lambda kind: kind, id="formula"),
    pytest.param(lambda kind: FUSED.get(kind, kind), id="kernel"),
]
Make = Callable[[list[Tensor], Recipe], torch.optim.Optimizer]
TORCH: dict[str, Make] = {
    "gradient_descent": lambda p, r: torch.optim.SGD(p, r.learning_rate, momentum=r.momentum, nesterov=r.nesterov),
    "sgd": lambda p, r: torch.optim.SGD(p, r.learning_rate, momentum=r.momentum, nesterov=r.nesterov),
    "rmsprop": lambda p, r: torch.optim.RMSprop(
        p, r.learning_rate, momentum=r.momentum, alpha=r.alpha or 0.99, eps=r.eps or 1e-8
    ),
    "adagrad": lambda p, r: torch.optim.Adagrad(p, r.learning_rate, eps=r.eps or 1e-10),
    "adadelta": lambda p, r: torch.optim.Adadelta(p, r.learning_rate, rho=r.alpha or 0.9, eps=r.eps or 1e-6),
    "adam": lambda p, r: torch.optim.Adam(p, r.learning_rate, betas=betas(r), eps=r.eps or 1e-8),
    "adamw": lambda p, r: torch.optim.AdamW(p, r.learning_rate, betas=betas(r), eps=r.eps or 1e-8, weight_decay=0.0),
    "adamax": lambda p, r: torch.optim.Adamax(p, r.learning_rate, betas=betas(r), eps=r.eps or 1e-8),
    "nadam": lambda p, r: torch.optim.NAdam(p, r.learning_rate, betas=betas(r), eps=r.eps or 1e-8),
    "radam": lambda p, r: torch.optim.RAdam(p, r.learning_rate, betas=betas(r), eps=r.eps or 1e-8),
    "lion": lambda p, r: ReferenceLion(p, r.learning_rate, (r.beta1, r.beta2 or 0.99)),
}
DIFFERENT: dict[str, list[dict[str, Any]]] = {
    "plain": [{"learning_rate": 0.1}, {"learning_rate": 0.01}, {"learning_rate": 0.003}],
    "momentum": [{"momentum": 0.9}, {"momentum": 0.5, "learning_rate": 0.1}],
    "nesterov": [{"momentum": 0.9, "nesterov": True}, {"momentum": 0.5, "nesterov": True}],
    "numbers": [
        {"beta1": 0.8, "beta2": 0.95, "eps": 1e-3, "alpha": 0.8},
        {"beta1": 0.0, "beta2": 0.9, "eps": 1e-5, "alpha": 0.5},
        {},
    ],
}
CASES = [(name, "plain") for name in OPTIMIZERS]
CASES += [(name, "momentum") for name in ("gradient_descent", "sgd", "rmsprop")]
CASES += [(name, "nesterov") for name in ("gradient_descent", "sgd")]
CASES += [(name, "numbers") for name in OPTIMIZERS if name not in ("gradient_descent", "sgd")]


def gradient_at(weights: Tensor, step: int) -> Tensor:
    """A bowl with noise: steps of very different sizes and signs."""
    noise = torch.randn(WIDTH, generator=torch.Generator().manual_seed(step), dtype=weights.dtype)
    return weights.sign() * weights.abs().sqrt() + 0.3 * noise


def ours(recipes: list[Recipe], start: Tensor, take: Take) -> Tensor:
    weights = start.clone()
    gradient = torch.zeros_like(weights)
    optimizer_kind = kind(recipes[0])
    assert {kind(r) for r in recipes} == {optimizer_kind}
    slots = {slot: torch.zeros_like(weights) for slot in optimizer_kind.slots}
    optimizer = take(optimizer_kind)(recipes, weights, gradient, slots)
    rates = torch.tensor([[r.learning_rate] * PER_EPOCH for r in recipes], dtype=torch.float64)
    for step in range(STEPS):
        epoch, index = divmod(step, PER_EPOCH)
        if not index:
            first = epoch * PER_EPOCH + 1
            updates = torch.arange(first, first + PER_EPOCH, dtype=torch.float64).expand(len(recipes), PER_EPOCH)
            optimizer.begin(rates, updates)
        gradient.copy_(torch.stack([gradient_at(row, step) for row in weights]))
        optimizer.step(index)
    return weights


def theirs(recipe: Recipe, start: Tensor) -> Tensor:
    weights = start.clone().requires_grad_()
    optimizer = TORCH[recipe.optimizer]([weights], recipe)
    for step in range(STEPS):
        weights.grad = gradient_at(weights.detach(), step)
        optimizer.step()
    return weights.detach()


def start_of(recipes: list[Recipe], dtype: torch.dtype) -> Tensor:
    return torch.randn(len(recipes), WIDTH, generator=torch.Generator().manual_seed(9), dtype=dtype)


def recipes_of(optimizer: str, case: str) -> list[Recipe]:
    batch = {"batch_size": None} if optimizer == "gradient_descent" else {}
    return [recipe(optimizer=optimizer, **batch, **settings) for settings in DIFFERENT[case]]


@pytest.mark.parametrize("take", WAYS)
@pytest.mark.parametrize(("optimizer", "case"), CASES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_each_row_is_stepped_as_by_the_optimizer_of_torch(
    optimizer: str, case: str, dtype: torch.dtype, take: Take
) -> None:
    recipes = recipes_of(optimizer, case)
    start = start_of(recipes, dtype)
    expected = torch.stack([theirs(r, row) for r, row in zip(recipes, start, strict=True)])
    rtol, atol = (1e-3, 1e-4) if dtype == torch.float32 else (1e-9, 1e-10)
    torch.testing.assert_close(ours(recipes, start, take), expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("take", WAYS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_row_of_nan_reaches_no_other(optimizer: str, take: Take) -> None:
    recipes = recipes_of(optimizer, "plain")
    start = start_of(recipes, torch.float64)
    healthy = ours(recipes, start, take)
    start[1] = torch.nan
    poisoned = ours(recipes, start, take)
    torch.testing.assert_close(poisoned[[0, 2]], healthy[[0, 2]])
    assert poisoned[1].isnan().all()


def test_short_rows_of_momentum_are_stepped_together_and_long_ones_by_a_kernel_each() -> None:
    def quick(members: int, length: int) -> type[Optimizer]:
        return quickest(Momentum, torch.empty(members, length))

    assert [quick(1, 10), quick(4, 10), quick(4, 10**5)] == [FusedMomentum, Momentum, FusedMomentum]
    assert quickest(Momentum, torch.empty(1, 10, device="meta")) is Momentum
