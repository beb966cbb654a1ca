from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import lr_scheduler

from tests.tuner.training.making import recipe
from tuner.training import Recipe
from tuner.training.recipe import SCHEDULES
from tuner.training.schedules import Plateau, factors

EPOCHS, STEPS, BASE = 8, 5, 0.3
Scheduler = lr_scheduler.LRScheduler


def ours(**settings: Any) -> Tensor:
    """The learning rates of a whole run."""
    one = recipe(epochs=EPOCHS, learning_rate=BASE, **settings)
    return BASE * torch.cat([factors(one, epoch, STEPS) for epoch in range(one.epochs)])


def theirs(make: Callable[[torch.optim.Optimizer], Scheduler], *, every_step: bool) -> Tensor:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], BASE)
    scheduler = make(optimizer)
    rates = []
    for step in range(EPOCHS * STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if every_step or step % STEPS == STEPS - 1:
            scheduler.step()
    return torch.tensor(rates, dtype=torch.float64)


@pytest.mark.parametrize(
    ("settings", "make", "every_step"),
    [
        ({"schedule": "step", "step_size": 3}, lambda o: lr_scheduler.StepLR(o, 3), False),
        ({"schedule": "step", "step_size": 1, "gamma": 0.5}, lambda o: lr_scheduler.StepLR(o, 1, 0.5), False),
        ({"schedule": "exponential"}, lambda o: lr_scheduler.ExponentialLR(o, 0.95), False),
        ({"schedule": "cosine"}, lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS * STEPS), True),
        (
            {"schedule": "cosine", "final_factor": 0.1},
            lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS * STEPS, eta_min=0.1 * BASE),
            True,
        ),
        (
            {"schedule": "linear", "final_factor": 0.2},
            lambda o: lr_scheduler.LinearLR(o, 1.0, 0.2, EPOCHS * STEPS),
            True,
        ),
        (
            {"schedule": "one_cycle"},
            lambda o: lr_scheduler.OneCycleLR(o, BASE, total_steps=EPOCHS * STEPS, cycle_momentum=False),
            True,
        ),
        (
            {"schedule": "one_cycle", "peak": 0.5},
            lambda o: lr_scheduler.OneCycleLR(o, BASE, total_steps=EPOCHS * STEPS, pct_start=0.5, cycle_momentum=False),
            True,
        ),
        ({"warmup": 0.25}, lambda o: lr_scheduler.LinearLR(o, 0.1, 1.0, 9), True),
    ],
    ids=lambda value: None if callable(value) else str(value),
)
def test_a_schedule_is_that_of_torch(
    settings: dict[str, Any], make: Callable[[torch.optim.Optimizer], Scheduler], every_step: bool
) -> None:
    torch.testing.assert_close(ours(**settings), theirs(make, every_step=every_step))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_after_the_warmup_a_schedule_runs_through_what_is_left(schedule: str) -> None:
    warmed = ours(schedule=schedule, warmup=0.5)
    half = recipe(epochs=EPOCHS // 2, learning_rate=BASE, schedule=schedule)
    rest = BASE * torch.cat([factors(half, epoch, STEPS) for epoch in range(half.epochs)])
    assert warmed[: EPOCHS * STEPS // 2].diff().gt(0).all()
    torch.testing.assert_close(warmed[EPOCHS * STEPS // 2 :], rest)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("epochs", "steps"), [(1, 1), (1, 2), (2, 1)])
@pytest.mark.parametrize("warmup", [0.0, 0.5, 1.0])
def test_the_shortest_runs_have_learning_rates_too(schedule: str, epochs: int, steps: int, warmup: float) -> None:
    one = recipe(epochs=epochs, schedule=schedule, warmup=warmup)
    rates = torch.cat([factors(one, epoch, steps) for epoch in range(epochs)])
    assert rates.isfinite().all()
    assert (rates >= 0.0).all()
    assert (rates <= 1.0 + 1e-12).all()


def plateau(recipes: list[Recipe]) -> Plateau:
    return Plateau(recipes, {k: torch.stack([v] * len(recipes)) for k, v in Plateau.initial().items()})


def test_reduce_on_plateau_is_that_of_torch() -> None:
    losses = [1.0, 0.9, 0.95, 0.89999, 0.92, 0.91, 0.5, math.nan, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.49]
    ours = plateau([recipe(schedule="reduce_on_plateau", plateau_patience=2, gamma=0.5), recipe()])
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    theirs = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2)
    seen = []
    for loss in losses:
        ours.update(torch.tensor([loss, loss], dtype=torch.float64))
        theirs.step(loss)
        seen.append(optimizer.param_groups[0]["lr"])
        assert ours.factor.tolist() == [seen[-1], 1.0]
    assert seen[-1] < 0.2
