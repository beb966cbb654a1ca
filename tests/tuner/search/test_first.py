"""Configurations that a study's first trials have: a person's own, or the usual one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.tuner import studies
from tests.tuner.workers.test_running import url
from tuner import attributes, study
from tuner.errors import SpecError
from tuner.hyperparameters import TRAINING, build_space
from tuner.results import Results, TrialRow
from tuner.search.strategies import Strategy, make_sampler, reseed
from tuner.sources import read_spec
from tuner.space import Scalar
from tuner.workers.worker import Leaving

OWN: list[dict[str, Any]] = [
    {"learning_rate": 1e-3, "width": 128, "optimizer": "sgd", "momentum": 0.5},
    {"depth": 1, "dropout": 0},
    {},
    {"optimizer": "adam"},
]
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("tpe", {"n_startup_trials": 2}),
    ("tpe", {"n_startup_trials": 2, "multivariate": True, "group": True}),
    ("gp", {"n_startup_trials": 2}),
    ("cmaes", {}),
    ("nsga2", {"population_size": 2}),
    ("nsga3", {"population_size": 2}),
    ("random", {}),
    ("qmc", {}),
    ("partial_fixed", {"fixed_params": {"z": 1}}),
]


def has(row: TrialRow, configuration: dict[str, Scalar]) -> bool:
    return row.params.items() >= configuration.items()


def drawn(
    name: str, first: tuple[Mapping[str, Scalar], ...], *, options: dict[str, Any] | None = None, trials: int = 9
) -> list[optuna.trial.FrozenTrial]:
    """Search a small space with a sampler, which is reseeded before each trial as a worker does."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    strategy = Strategy(sampler=name, sampler_options=options or {}, pruner="none", pruner_options={}, first=first)
    study = optuna.create_study(sampler=make_sampler(strategy, seed=0))
    for number in range(trials):
        reseed(study.sampler, number)
        trial = study.ask()
        x, n = trial.suggest_float("x", 0, 1), trial.suggest_int("n", 1, 64, log=True)
        study.tell(trial, x + n + (trial.suggest_categorical("c", ["a", "b", "c"]) == "a"))
    return study.trials


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_the_first_trials_have_their_configurations_and_the_sampler_goes_on(name: str, options: dict[str, Any]) -> None:
    first: tuple[dict[str, Scalar], ...] = ({"x": 1, "c": "b"}, {"n": 64}, {}, {"x": 0.5, "n": 3.0, "c": "a"})
    trials = drawn(name, first, options=options)
    for trial, configuration in zip(trials, first, strict=False):
        assert trial.params.items() >= configuration.items()
        assert trial.params.keys() == {"x", "n", "c"}
    assert [type(value) for value in trials[0].params.values()] == [float, int, str]
    assert type(trials[3].params["n"]) is int
    assert len({str(trial.params) for trial in trials[len(first) :]}) > 1


def test_what_they_leave_out_and_the_rest_of_a_random_search_stay_what_they_were() -> None:
    plain, ours = drawn("random", ()), drawn("random", ({"n": 64}, {"c": "b"}))
    assert [trial.params for trial in ours[2:]] == [trial.params for trial in plain[2:]]
    assert ours[0].params["x"] == plain[0].params["x"]


def test_each_of_several_generations_is_noted_as_ever() -> None:
    trials = drawn("nsga2", ({"x": 0.5},) * 6, options={"population_size": 2}, trials=8)
    generations = [key for trial in trials for key in trial.system_attrs if "generation" in key.lower()]
    assert len(generations) >= 8


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2"])
def test_the_first_trials_of_a_study_have_them(tmp_path: Path, sampler: str) -> None:
    results = studies.create(tmp_path, search={"sampler": sampler, "first": OWN})
    assert studies.work(results) == "budget spent"
    rows = results.trials()
    for row, configuration in zip(rows, OWN, strict=False):
        assert has(row, configuration)
        assert {"learning_rate", "depth", "batch_size", "l1"} <= row.params.keys()
    assert not any(attributes.USUAL in row.attributes or attributes.WARNINGS in row.attributes for row in rows)
    assert len({row.params["learning_rate"] for row in rows}) == len(rows)


def test_two_workers_give_each_configuration_once(tmp_path: Path) -> None:
    settings = ["training.epochs=1", "search.first=[{depth=3}, {learning_rate=1e-3}, {dropout=0.25, width=64}]"]
    results = study.start("iris", trials=6, workers=2, settings=settings, storage=url(tmp_path))
    rows = results.trials()
    assert len(rows) == 6
    assert has(rows[0], {"depth": 3})
    assert has(rows[1], {"learning_rate": 1e-3})
    assert has(rows[2], {"dropout": 0.25, "width": 64})
    assert sum(row.params["learning_rate"] == 1e-3 for row in rows) == 1


def test_one_that_was_interrupted_goes_on_with_its_own(tmp_path: Path) -> None:
    first = [{"learning_rate": 1e-3}, {"learning_rate": 2e-3}, {"learning_rate": 3e-3}]
    results = studies.create(tmp_path, search={"pruner": "none", "first": first})
    leaving = Leaving(results.storage, results.study_id, None)
    worker = studies.make_worker(results, leaving=leaving)
    rounds = iter(range(100))
    train = worker._train  # type: ignore[union-attr]

    def train_and_leave() -> None:
        train()
        if next(rounds) == 7:  # in the second trial
            leaving.ask("interrupted")

    worker._train = train_and_leave  # type: ignore[method-assign, union-attr]
    assert worker.run() == "interrupted"
    assert results.trial(1).state == "interrupted"
    assert studies.work(results) == "budget spent"
    assert [row.params["learning_rate"] for row in results.trials()[:3]] == [1e-3, 2e-3, 3e-3]
    assert len(results.trials()) == 6


def test_the_first_trial_has_the_usual_configuration_and_is_marked(tmp_path: Path) -> None:
    results = studies.create(tmp_path, search={"sampler": "tpe"}, training={"epochs": 1}, budget={"trials": 3})
    studies.work(results)
    first, *others = results.trials()
    worker = studies.make_worker(results)
    space = worker.space  # type: ignore[union-attr]
    assert first.params == space.usual
    assert first.params["optimizer"] == "adam"
    assert first.attributes[attributes.USUAL] is True
    assert not any(attributes.USUAL in row.attributes for row in others)


@pytest.mark.parametrize("search", [{"sampler": "tpe", "first": []}, {"sampler": "random"}, {"sampler": "qmc"}])
def test_there_is_none_where_none_is_wanted(tmp_path: Path, search: dict[str, Any]) -> None:
    results = studies.create(tmp_path, search=search, training={"epochs": 1}, budget={"trials": 1})
    studies.work(results)
    row = results.trial(0)
    assert row.params["learning_rate"] != 3e-3
    assert attributes.USUAL not in row.attributes


def test_usual_values_are_brought_into_the_space() -> None:
    written: dict[str, Any] = {
        "learning_rate": "1e-4..1e-3:log",  # ends below the usual value
        "batch_size": [8, 16],  # does not have it
        "optimizer": ["sgd", "lion"],
        "momentum": "0..0.8:step=0.3",  # is on no step of it
        "schedule": "cosine",  # is fixed to another
        "warmup": "0.2..0.3",
        "beta1": "0.8..0.95",  # was fixed
        "data_fraction": "0.1..0.5",
        "weight_decay": [0, 0.1],
    }
    space = build_space(TRAINING, written, where="test")
    assert dict(space.usual) == {
        "learning_rate": 1e-3,
        "momentum": pytest.approx(0.6),
        "warmup": 0.2,
        "l1": 1e-7,
        "l2": 1e-6,
        "beta1": 0.9,
        "data_fraction": 0.5,
        "weight_decay": 0,
    }
    assert space.take(space.usual) == space.usual
    assert build_space(TRAINING, space.to_json(), where="test").usual == space.usual


def test_what_the_usual_optimizer_has_no_use_for_is_not_usual() -> None:
    usual = build_space(TRAINING, {}, where="test").usual
    assert "momentum" not in usual
    assert usual["optimizer"] == "adam"


@pytest.mark.parametrize(
    ("configuration", "line"),
    [
        ({"learning_rat": 1e-3}, "hyperparameter 'learning_rat' is not in the space; did you mean 'learning_rate'?"),
        ({"learning_rate": 1}, "learning_rate = 1 is not in 0.0001..0.1:log"),
        ({"learning_rate": "fast"}, "learning_rate = 'fast' is no number of 0.0001..0.1:log"),
        ({"learning_rate": True}, "learning_rate = True is no number"),
        ({"dropout": float("nan")}, "dropout = nan is not in 0..0.5"),
        ({"depth": 2.5}, "depth = 2.5 is no whole number of 1..4"),
        ({"l1": 0.17}, "l1 = 0.17 is on no step of 0..1:step=0.1; the nearest is 0.2"),
        ({"optimizer": "adm"}, "optimizer = 'adm' is none of sgd, adam"),
        ({"activation": "tanh"}, "activation = 'tanh' is not 'relu', to which [space] fixes it"),
        (
            {"optimizer": "adam", "momentum": 0.9},
            "momentum = 0.9 is for optimizer sgd or gradient_descent, and here it",
        ),
        ({"warmup": 0.1}, "hyperparameter 'warmup' is not in the space; known: "),
        ({"width": [32, 64]}, "width = [32, 64] is no plain value"),
    ],
)
def test_a_configuration_that_is_not_in_the_space_is_refused(
    tmp_path: Path, configuration: dict[str, Any], line: str
) -> None:
    space = {
        "activation": "relu",
        "l1": {"low": 0.0, "high": 1.0, "step": 0.1, "log": False},
        "optimizer": ["sgd", "adam"],
        "schedule": "constant",
    }
    with pytest.raises(SpecError) as caught:
        studies.create(tmp_path, space=space, search={"first": [{"learning_rate": 0.01}, configuration]})
    assert str(caught.value).startswith("test [search] first[1]: ")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("first", "line"),
    [
        ({"width": 64}, "[search]: first: it is a list of configurations; write [[search.first]]"),
        ([5], "[search.first]: 0 = 5: input should be a valid dictionary"),
    ],
)
def test_what_is_no_list_of_configurations_is_refused(tmp_path: Path, first: Any, line: str) -> None:
    with pytest.raises(SpecError) as caught:
        studies.create(tmp_path, search={"first": first})
    assert line in str(caught.value)


@pytest.mark.parametrize("sampler", ["grid", "brute_force"])
def test_what_tries_every_combination_takes_none(tmp_path: Path, sampler: str) -> None:
    with pytest.raises(SpecError, match=f"sampler = '{sampler}' tries every combination, in its own order; leave one"):
        studies.create(tmp_path, search={"sampler": sampler, "first": [{"depth": 2}]})
    space = {"learning_rate": [0.1, 0.2], "momentum": 0.5, "l1": 0.0, "l2": 0.0, "dropout": 0.0, "warmup": 0.0}
    studies.create(tmp_path, space=space, search={"sampler": sampler, "first": []})


def test_a_setting_holds_configurations_as_a_study_file_does(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[[search.first]]\nlearning_rate = 1e-3\noptimizer = 'adam'\n\n[[search.first]]\ndepth = 2\n")
    setting = "search.first=[{learning_rate=1e-3, optimizer='adam'}, {depth=2}]"
    assert read_spec(str(path))[0].search == read_spec("iris", settings=[setting])[0].search


FUNCTIONS = """
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    if x > 0.5:
        trial.suggest_int("n", 1, 4)
    trial.suggest_categorical("only", ["one"])
    trial.suggest_categorical("c", ["a", None])
    return x
"""


def of_function(folder: Path, first: list[dict[str, Any]]) -> Results:
    (folder / "mine.py").write_text(FUNCTIONS)
    objective = {"name": f"{folder / 'mine.py'}:objective"}
    search = {"sampler": "tpe", "first": first}
    results = studies.create(folder, data={}, training={}, objective=objective, search=search)
    assert studies.work(results) == "budget spent"
    return results


def test_a_function_is_given_the_named_values_when_it_asks(tmp_path: Path) -> None:
    rows = of_function(tmp_path, [{"x": 1, "n": 3.0, "c": "a"}, {"c": None}]).trials()
    assert rows[0].params == {"x": 1.0, "n": 3, "only": "one", "c": "a"}
    assert rows[1].params["c"] is None
    assert not any(attributes.WARNINGS in row.attributes for row in rows)
    assert not any(attributes.USUAL in row.attributes for row in rows)


def test_a_value_that_a_function_never_has_fails_its_trial_and_says_why(tmp_path: Path) -> None:
    rows = of_function(tmp_path, [{"x": 5}, {"c": "d"}, {"x": 0.75, "n": 5}]).trials()
    reasons = [row.attributes[attributes.FAILURE]["reason"] for row in rows[:3]]
    assert reasons == [
        "UsageError: [search] first: x = 5 is not in 0..1",
        "UsageError: [search] first: c = 'd' is none of a, None",
        "UsageError: [search] first: n = 5 is not in 1..4",
    ]
    assert not any(attributes.WARNINGS in row.attributes for row in rows)
    assert all(row.state == "finished" for row in rows[3:])


def test_a_name_that_a_function_does_not_ask_for_is_told_of(tmp_path: Path) -> None:
    rows = of_function(tmp_path, [{"x": 0.25, "n": 3}, {"X": 1, "only": "two"}]).trials()
    assert rows[0].attributes[attributes.WARNINGS] == [
        "[search] first: n = 3 was not used: the trial did not ask for it"
    ]
    assert rows[1].attributes[attributes.WARNINGS] == [
        "[search] first: X = 1 was not used: the trial did not ask for it",
        "[search] first: only = 'two' was not used: 'one' is all there is",
    ]


def test_the_usual_configuration_of_an_estimator_is_its_own(tmp_path: Path) -> None:
    objective = {"name": "KNeighborsClassifier"}
    results = studies.create(tmp_path, objective=objective, training={}, search={}, budget={"trials": 2})
    studies.work(results)
    assert results.trial(0).params == {"n_neighbors": 5, "weights": "uniform", "p": 2}
    assert results.trial(0).attributes[attributes.USUAL] is True


def test_a_value_of_another_kind_is_not_usual_for_an_estimator(tmp_path: Path) -> None:
    space = {"min_samples_leaf": "0.1..0.5", "max_features": ["sqrt", "None"], "n_estimators": "5..50"}
    objective = {"name": "RandomForestClassifier"}
    first = [{"max_features": "None"}]
    results = studies.create(tmp_path, objective=objective, training={}, space=space, search={"first": first})
    space_ = studies.make_worker(results).space  # type: ignore[union-attr]
    assert space_.usual == {"max_features": "sqrt", "n_estimators": 50}
    studies.work(results)
    assert results.trial(0).params["max_features"] is None
