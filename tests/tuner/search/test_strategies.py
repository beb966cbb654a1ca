from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.tuner import studies
from tuner.search import strategies
from tuner.search.strategies import Strategy, make_sampler, reseed

OPTIONS: dict[str, dict[str, Any]] = {
    "grid": {"search_space": {"x": [0.1, 0.2, 0.3, 0.4, 0.5], "c": ["a", "b", "c", "d"]}},
    "partial_fixed": {"fixed_params": {"z": 1}, "base": "random"},
}
SAMPLERS = [name for name in strategies.SAMPLERS if name not in {"brute_force"}]


def draw(name: str, seed: int) -> list[Any]:
    """Draw a configuration with a fresh sampler after a few trials have ended."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    strategy = Strategy(sampler=name, sampler_options=OPTIONS.get(name, {}), pruner="none", pruner_options={})
    study = optuna.create_study(sampler=make_sampler(strategy, seed=0))
    for i in range(3):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        trial.suggest_categorical("c", list("abcd"))
        study.tell(trial, float(i))
    study.sampler = make_sampler(strategy, seed=0)
    reseed(study.sampler, seed)
    trial = study.ask()
    return [trial.suggest_float("x", 0, 1), trial.suggest_categorical("c", list("abcd"))]


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_a_sampler_draws_follows_from_the_seed_it_is_given(name: str) -> None:
    assert draw(name, 1) == draw(name, 1)
    different = len({str(draw(name, seed)) for seed in range(8)})
    fixed = name in {"qmc", "grid"}  # these go by the trial's number: one sequence for all workers
    assert different == 1 if fixed else different > 1


@pytest.mark.parametrize("sampler", ["grid", "brute_force"])
def test_every_combination_tried_is_the_end_of_a_study(tmp_path: Path, sampler: str) -> None:
    space = {
        "depth": 1,
        "width": 8,
        "learning_rate": [0.01, 0.02],
        "optimizer": ["adam", "adamw"],
        "activation": "relu",
        "batch_size": 16,
        "schedule": "constant",
        "dropout": 0.0,
        "l1": 1e-6,
        "l2": 1e-6,
    }
    results = studies.create(
        tmp_path, space=space, search={"sampler": sampler}, budget={"trials": 20}, training={"epochs": 1}
    )
    assert studies.work(results) == "every combination tried"
    assert len({str(row.params) for row in results.trials()}) == 4
