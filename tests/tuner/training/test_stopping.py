from __future__ import annotations

import math

import torch

from tests.tuner.training.making import recipe
from tuner.training import Recipe
from tuner.training.stopping import EarlyStopping


def follow(
    recipes: list[Recipe], scores: list[list[float]], losses: list[list[float]] | None = None
) -> tuple[EarlyStopping, list[list[bool]], list[list[bool]]]:
    state = {name: torch.stack([value] * len(recipes)) for name, value in EarlyStopping.initial().items()}
    stopping = EarlyStopping(recipes, state)
    best, stopped = [], []
    for epoch, row in enumerate(scores, 1):
        lost = torch.tensor([1.0] * len(row) if losses is None else losses[epoch - 1], dtype=torch.float64)
        epochs = torch.tensor([epoch] * len(row))
        is_best, is_over = stopping.update(torch.tensor(row, dtype=torch.float64), lost, epochs)
        best.append(is_best.tolist())
        stopped.append(is_over.tolist())
    return stopping, best, stopped


def test_patience_counts_epochs_without_improvement_for_each_member() -> None:
    recipes = [recipe(patience=2), recipe(patience=1), recipe()]
    _, _, stopped = follow(recipes, [[0.5] * 3, [0.6, 0.4, 0.4], [0.6, 0.9, 0.4], [0.5, 0.9, 0.4]])
    assert stopped == [[False] * 3, [False, True, False], [False] * 3, [True, True, False]]


def test_of_equal_scores_the_one_with_the_lower_loss_is_the_best_and_renews_no_patience() -> None:
    scores, losses = [[0.5], [0.7], [0.7], [0.7], [0.6]], [[0.3], [0.6], [0.4], [0.5], [0.1]]
    stopping, best, stopped = follow([recipe(patience=3)], scores, losses)
    assert best == [[True], [True], [True], [False], [False]]
    assert stopping.best_epoch.tolist() == [3]
    assert [row[0] for row in stopped] == [False, False, False, False, True]


def test_of_equal_scores_and_losses_the_first_is_the_best() -> None:
    stopping, best, _ = follow([recipe()], [[0.5], [0.7], [0.7], [0.6]])
    assert best == [[True], [True], [False], [False]]
    assert stopping.best_epoch.tolist() == [2]


def test_a_small_improvement_is_the_best_epoch_but_renews_no_patience() -> None:
    stopping, best, stopped = follow([recipe(patience=2, min_delta=0.1)], [[0.5], [0.55], [0.59]])
    assert best == [[True], [True], [True]]
    assert stopped == [[False], [False], [True]]
    assert stopping.best_epoch.tolist() == [3]


def test_small_improvements_that_add_up_renew_patience() -> None:
    _, _, stopped = follow([recipe(patience=2, min_delta=0.1)], [[0.5], [0.55], [0.65], [0.7], [0.8]])
    assert not any(row[0] for row in stopped)


def test_nan_never_improves() -> None:
    stopping, best, stopped = follow([recipe(patience=2)], [[math.nan], [0.1], [math.nan], [math.nan]])
    assert best == [[False], [True], [False], [False]]
    assert [row[0] for row in stopped] == [False, False, False, True]
    assert stopping.best.tolist() == [0.1]
