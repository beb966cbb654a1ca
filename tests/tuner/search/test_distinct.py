"""Trials that are in flight at the same time are different configurations."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler

from storage import open_storage
from tuner.search.strategies import Strategy, make_sampler, reseed

IN_FLIGHT = 16


def sampler(name: str, **options: Any) -> BaseSampler:
    return make_sampler(Strategy(sampler=name, sampler_options=options, pruner="none", pruner_options={}), seed=0)


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Draw from a space of 64 configurations."""
    depth = trial.suggest_int("depth", 1, 4)
    trial.suggest_categorical("fixed", ["only"])
    trial.suggest_categorical("optimizer", ["sgd", "adam", "adamw", "lion"])
    trial.suggest_float("dropout", 0, 0.3, step=0.1)
    assert depth == trial.params["depth"]
    return trial.params


def in_flight(study: optuna.Study, trials: int, *, seed: int) -> list[list[dict[str, Any]]]:
    """Keep trials in flight, told in any order; return what was in flight after each ask."""
    rng = random.Random(seed)
    flying: list[optuna.Trial] = []
    seen = []
    for number in range(trials):
        reseed(study.sampler, 1000 * seed + number)
        trial = study.ask()
        flying.append(trial)
        suggest(trial)
        seen.append([other.params for other in flying])
        if len(flying) == IN_FLIGHT:
            done = flying.pop(rng.randrange(len(flying)))
            study.tell(done, done.params["depth"] + done.params["dropout"] + rng.gauss(0, 0.3))
    return seen


@pytest.mark.parametrize("seed", range(3))
def test_trials_in_flight_differ_in_a_small_space(tmp_path: Path, seed: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(f"sqlite:///{tmp_path}/trials.db")
    study = optuna.create_study(storage=storage, sampler=sampler("tpe"))
    for together in in_flight(study, 60, seed=seed):
        assert len({str(sorted(params.items())) for params in together}) == len(together)


def test_a_space_smaller_than_what_is_in_flight_is_searched_all_the_same() -> None:
    study = optuna.create_study(sampler=sampler("tpe"))
    drawn = [study.ask().suggest_categorical("a", [1, 2, 3]) for _ in range(8)]
    assert set(drawn[:3]) == {1, 2, 3}


def test_one_at_a_time_the_sampler_is_left_alone() -> None:
    plain = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=3))
    ours = optuna.create_study(sampler=sampler("tpe", seed=3))
    for study in (plain, ours):
        study.optimize(lambda trial: float(sum(map(len, map(str, suggest(trial).values())))), n_trials=25)
    assert [trial.params for trial in plain.trials] == [trial.params for trial in ours.trials]


def test_several_objectives_are_searched_as_before() -> None:
    plain = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=3), directions=["minimize", "maximize"])
    ours = optuna.create_study(sampler=sampler("tpe", seed=3), directions=["minimize", "maximize"])
    for study in (plain, ours):
        for _ in range(20):
            trials = [study.ask() for _ in range(3)]
            for trial in trials:
                params = suggest(trial)
                study.tell(trial, [params["depth"], params["dropout"]])
    assert [trial.params for trial in plain.trials] == [trial.params for trial in ours.trials]


def test_a_space_that_changes_as_it_runs_is_searched_as_before() -> None:
    study = optuna.create_study(sampler=sampler("tpe"))
    for _ in range(10):
        trials = [study.ask() for _ in range(4)]
        for trial in trials:
            if trial.suggest_categorical("optimizer", ["sgd", "adam"]) == "sgd":
                trial.suggest_int("momentum", 0, 9)
        for trial in trials:
            study.tell(trial, float(trial.number))
    assert {len(trial.params) for trial in study.trials} == {1, 2}
