"""scikit-learn's estimators as objectives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import torch
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import NearestCentroid
from sklearn.svm import SVC

from objectives.estimators import objective_of
from objectives.estimators.objective import EstimatorOptions
from objectives.estimators.predictor import Predictor
from objectives.estimators.spaces import DEFAULTS, space_of
from objectives.tables.options import TableData
from tests.tuner import studies
from tuner import attributes
from tuner.errors import UsageError
from tuner.results import Results
from tuner.spec import parse_spec
from tuner.training.network import predict
from tuner.training.randomness import derive
from tuner.tryout import try_out

IRIS = {"source": "iris", "target": "species"}
SMALL_FOREST = {"n_estimators": "3..10", "max_depth": [2, 4, "None"]}


def create(folder: Path, name: str, *, data: dict[str, Any] | None = None, **tables: Any) -> Results:
    objective = {"name": name, **tables.pop("objective", {})}
    return studies.create(folder, objective=objective, data=data or IRIS, **{"training": {}, **tables})


def test_an_estimator_is_tuned_and_judged_as_a_network_is(tmp_path: Path) -> None:
    results = create(tmp_path, "sklearn.ensemble.RandomForestClassifier", space=SMALL_FOREST, budget={"trials": 4})
    assert studies.work(results) == "budget spent"
    for row in results.trials():
        assert row.state == "finished"
        assert set(row.params) == {"n_estimators", "max_depth", "max_features", "min_samples_leaf"}
        assert row.params["max_depth"] in (2, 4, None)
        noted = row.attributes
        assert noted[attributes.VERDICT]
        assert {"loss", "accuracy", "f1", "roc_auc", "confusion_matrix"} <= noted[attributes.VALIDATION].keys()
        assert attributes.NETWORK_PARAMETERS not in noted
    best = results.best()[0]
    assert (best.values["accuracy"] or 0) > 0.8


def test_its_scores_are_those_of_scikit_learn_and_depend_on_seed_and_number_alone(tmp_path: Path) -> None:
    results = create(tmp_path, "RandomForestClassifier", space=SMALL_FOREST, budget={"trials": 2})
    studies.work(results)
    made = objective_of("RandomForestClassifier")(EstimatorOptions(), TableData(**IRIS), seed=0)
    dataset = made.load()
    for row in results.trials():
        seed = derive(0, "trial", row.number) % (2**31 - 1)
        model = RandomForestClassifier(**row.params, random_state=seed)
        model.fit(dataset.training.inputs[0].numpy(), dataset.training.targets.numpy())
        inputs, targets = dataset.validation.inputs[0].numpy(), dataset.validation.targets.numpy()
        scores = row.attributes[attributes.VALIDATION]
        assert scores["accuracy"] == pytest.approx(model.score(inputs, targets))
        assert scores["log_loss"] == pytest.approx(sklearn.metrics.log_loss(targets, model.predict_proba(inputs)))


def test_a_regressor_is_scored_in_the_units_of_its_target(tmp_path: Path) -> None:
    data = {"source": "linnerud", "target": ["Weight", "Waist"], "test": 0}
    results = create(tmp_path, "Ridge", data=data, budget={"trials": 2})
    studies.work(results)
    assert results.directions == ["minimize"]
    assert all(1 < (row.values["rmse"] or 0) < 60 for row in results.trials())


def test_a_classifier_without_probabilities_is_judged_by_its_decision_function() -> None:
    made = objective_of("SVC")(EstimatorOptions(), TableData(**IRIS), seed=0)
    dataset = made.load()
    module = made.fit(dataset, {"gamma": 10.0}, seed=0)
    inputs, targets = dataset.validation.inputs[0].numpy(), dataset.validation.targets.numpy()
    model = SVC(gamma=10.0).fit(dataset.training.inputs[0].numpy(), dataset.training.targets.numpy())
    called = predict(module, dataset.validation.inputs).argmax(-1).numpy()
    assert np.array_equal(called, model.predict(inputs))
    assert (called == targets).mean() == model.score(inputs, targets)


def test_what_a_classifier_answers_counts_where_its_probabilities_say_otherwise() -> None:
    inputs, targets = load_wine(return_X_y=True)
    model = NearestCentroid().fit(inputs, targets)
    answers = model.predict(inputs)
    assert (model.predict_proba(inputs).argmax(1) != answers).any()
    outputs = Predictor(model, classes=3)(torch.from_numpy(inputs))
    assert np.array_equal(outputs.argmax(-1).numpy(), answers)


PIPELINE = """
from sklearn.feature_selection import SelectKBest
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

model = make_pipeline(SelectKBest(k=2), DecisionTreeClassifier())
"""


def test_an_estimator_of_ones_own_is_searched_by_its_nested_names(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PIPELINE)
    space = {"selectkbest__k": "1..4", "decisiontreeclassifier__max_depth": "1..5"}
    results = create(tmp_path, f"{tmp_path / 'mine.py'}:model", space=space, budget={"trials": 3})
    studies.work(results)
    assert {frozenset(row.params) for row in results.trials()} == {frozenset(space)}
    assert results.status().counts["finished"] == 3


def test_what_an_estimator_warns_of_is_noted(tmp_path: Path) -> None:
    results = create(tmp_path, "LogisticRegression", space={"max_iter": 1}, budget={"trials": 1})
    studies.work(results)
    assert "failed to converge" in str(results.trial(0).attributes[attributes.WARNINGS])


def test_trying_one_fits_what_it_is_by_itself() -> None:
    spec = parse_spec({"name": "x", "objective": {"name": "KNeighborsClassifier"}, "data": IRIS}, where="x")
    tried = try_out(spec, where="x")
    assert tried.params["n_neighbors"] == 5
    assert tried.scores["accuracy"] > 0.8


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_every_default_space_is_legal(name: str) -> None:
    prototype = objective_of(name).prototype
    assert space_of(prototype, {}, where="x").searched


@pytest.mark.parametrize(
    ("name", "tables", "line"),
    [
        ("RandomForrestClassifier", {}, "no classifier or regressor 'RandomForrestClassifier'; did you mean"),
        ("sklearn.ensemble.Forest", {}, "sklearn.ensemble has no class 'Forest'"),
        ("sklearn.esemble.Forest", {}, "scikit-learn has no public module 'sklearn.esemble'"),
        ("sklearn.svm._classes.SVC", {}, "scikit-learn has no public module 'sklearn.svm._classes'"),
        ("sklearn.preprocessing.StandardScaler", {}, "StandardScaler is neither a classifier nor a regressor"),
        ("VotingClassifier", {}, "VotingClassifier needs estimators; make one in a file"),
        ("SVR", {"data": {"source": "linnerud", "test": 0}}, "SVR predicts one target, not 3"),
        ("SVC", {"space": {"gama": 1}}, "SVC has no parameter 'gama'; did you mean 'gamma'?"),
        ("SVC", {"space": {"C": "0..1"}}, "C = 0..1: The 'C' parameter of SVC must be a float in the range (0.0, inf"),
        ("SVC", {"space": {"kernel": ["rbf", "rfb"]}}, "Got 'rfb' instead"),
        ("SVC", {"space": {"C": "1..0.1"}}, "C = 1..0.1: range 1..0.1 is inverted"),
        ("SVC", {"objective": {"loss": "mse"}}, "unknown key 'loss'; known: metric, task"),
        ("SVC", {"objective": {"metric": "rmse"}}, "metric 'rmse' is for regression, but the task is classification"),
        ("SVC", {"objective": {"task": "regression"}}, "task = 'regression': SVC is for classification"),
        ("SVC", {"model": {"keep_as": "mine"}}, "what is fitted in one go has no weights to keep"),
        ("SVC", {"training": {"epochs": 5}}, "[training] epochs: what is fitted in one go trains in its own way"),
    ],
)
def test_what_cannot_be_tuned_is_refused_with_one_line(
    tmp_path: Path, name: str, tables: dict[str, Any], line: str
) -> None:
    with pytest.raises(UsageError) as caught:
        create(tmp_path, name, **tables)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "tuner.db").exists()
