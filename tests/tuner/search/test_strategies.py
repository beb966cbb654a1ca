from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.tuner import studies
from tuner.errors import SpecError
from tuner.search import strategies
from tuner.search.strategies import Strategy, make_sampler, reseed

OPTIONS: dict[str, dict[str, Any]] = {
    "grid": {"search_space": {"x": [0.1, 0.2, 0.3, 0.4, 0.5], "c": ["a", "b", "c", "d"]}},
    "partial_fixed": {"fixed_params": {"z": 1}, "base_sampler": "random"},
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


@pytest.mark.parametrize(
    ("search", "line"),
    [
        (
            {"sampler_options": {"n_startup_trials": "abc"}},
            "sampler_options: n_startup_trials = 'abc' must be a whole number",
        ),
        ({"sampler_options": {"multivariate": 1}}, "sampler_options: multivariate = 1 must be true or false"),
        ({"sampler_options": {"gamma": 3}}, "sampler_options: gamma = 3: tpe wants an object of Python there"),
        ({"sampler_options": {"n_startup": 3}}, "unknown option 'n_startup' of tpe; did you mean 'n_startup_trials'?"),
        (
            {"pruner": "percentile"},
            "pruner_options: 'percentile' is missing: percentile needs it, a number",
        ),
        (
            {"pruner": "patient", "pruner_options": {"patience": 1, "wrapped_pruner": "medain"}},
            "pruner_options: wrapped_pruner = 'medain' is not known; did you mean 'median'?",
        ),
        (
            {
                "pruner": "patient",
                "pruner_options": {
                    "patience": 1,
                    "wrapped_pruner": "median",
                    "wrapped_pruner_options": {"interval_steps": 0.5},
                },
            },
            "pruner_options.wrapped_pruner_options: interval_steps = 0.5 must be a whole number",
        ),
        (
            {"sampler": "brute_force"},
            "sampler = 'brute_force' tries every value, and learning_rate = 0.0001..0.1 has endlessly many; give it a",
        ),
    ],
)
def test_an_option_of_the_wrong_kind_is_named_before_a_study_is_made(
    tmp_path: Path, search: dict[str, Any], line: str
) -> None:
    with pytest.raises(SpecError) as caught:
        studies.create(tmp_path, search=search)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "tuner.db").exists()


def test_a_function_that_has_no_end_of_combinations_ends_the_study_with_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def objective(trial):\n    return trial.suggest_float('x', 0, 1)\n")
    objective = {"name": f"{tmp_path / 'own.py'}:objective"}
    results = studies.create(tmp_path, objective=objective, data={}, training={}, search={"sampler": "brute_force"})
    with pytest.raises(SpecError, match=r"x = 0\.\.1 has endlessly many; give it a step, or take sampler = 'grid'"):
        studies.work(results)
    assert results.status().done == 0


def test_a_pruner_waits_for_the_one_it_names(tmp_path: Path) -> None:
    options = {"patience": 3, "wrapped_pruner": "median", "wrapped_pruner_options": {"n_startup_trials": 7}}
    results = studies.create(tmp_path, search={"pruner": "patient", "pruner_options": options})
    pruner = studies.make_worker(results).study.pruner
    assert isinstance(pruner, optuna.pruners.PatientPruner)
    assert isinstance(pruner._wrapped_pruner, optuna.pruners.MedianPruner)
    assert pruner._wrapped_pruner._n_startup_trials == 7


def test_a_study_has_no_more_trials_than_its_grid(tmp_path: Path) -> None:
    grid = {"sampler": "grid"}
    space = {"learning_rate": 0.01, "optimizer": "adam", "depth": [1, 2], "width": [4, 8], "dropout": 0, "l1": 0}
    rest = {"l2": 0, "activation": "relu", "batch_size": 64, "schedule": "constant"}
    tables = {"space": space | rest, "search": grid, "training": {"epochs": 1}}
    for trials, budget in ((9, 4), (3, 3), (None, 4)):
        folder = tmp_path / f"{trials}"
        folder.mkdir()
        results = studies.create(folder, **tables, budget={"trials": trials})
        assert results.spec is not None
        assert results.storage.get_budget(results.study_id) == results.spec.budget.trials == budget
    studies.work(results)
    tried = {(row.params["depth"], row.params["width"]) for row in results.trials()}
    assert len(results.trials()) == len(tried) == 4
