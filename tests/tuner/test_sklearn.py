"""Networks as scikit-learn estimators."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, load_linnerud
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from objectives.tables import Table
from tuner import Fixed, Hyperparameter, Trainable
from tuner.hyperparameters import TRAINING
from tuner.sklearn import NetworkClassifier, NetworkRegressor, TunedClassifier, TunedRegressor
from tuner.training import CrossEntropy, Dataset, Loss, MeanSquaredError


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [
        NetworkClassifier(random_state=0),
        NetworkRegressor(random_state=0),
        TunedClassifier(trials=2, epochs=10, random_state=0),
        TunedRegressor(trials=2, epochs=10, random_state=0),
    ]
)
def test_scikit_learns_own_checks_pass(estimator: Any, check: Any) -> None:
    check(estimator)


def iris() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    bunch = load_iris()
    return bunch.data, np.asarray(bunch.target_names)[bunch.target]


def test_a_network_classifies_in_a_pipeline_under_cross_validation() -> None:
    inputs, targets = iris()
    pipeline = make_pipeline(StandardScaler(), NetworkClassifier(depth=1, width=32, random_state=0))
    assert cross_val_score(pipeline, inputs, targets, cv=3).mean() > 0.9


def test_a_network_beats_the_mean_on_numbers_in_their_own_units() -> None:
    inputs, targets = load_diabetes(return_X_y=True)
    model = NetworkRegressor(epochs=10, depth=1, random_state=0).fit(inputs[:300], targets[:300])
    assert model.score(inputs[300:], targets[300:]) > 0.3
    assert 100 < model.predict(inputs).mean() < 200


def test_several_numbers_are_predicted_at_once() -> None:
    inputs, targets = load_linnerud(return_X_y=True)
    assert NetworkRegressor(epochs=2, random_state=0).fit(inputs, targets).predict(inputs).shape == targets.shape


def test_the_same_random_state_gives_the_same_network_and_leaves_torchs_alone() -> None:
    inputs, targets = iris()
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    one, two = (NetworkClassifier(epochs=3, random_state=7).fit(inputs, targets) for _ in range(2))
    assert np.array_equal(one.predict_proba(inputs), two.predict_proba(inputs))
    assert torch.rand(1) == expected


def test_what_is_pickled_predicts_the_same_and_holds_no_training_data() -> None:
    inputs, targets = iris()
    many = np.repeat(inputs, 50, axis=0)
    model = NetworkClassifier(epochs=1, width=8, depth=1, random_state=0).fit(many, np.repeat(targets, 50))
    written = pickle.dumps(model)
    assert len(written) < many.nbytes / 5
    assert np.array_equal(pickle.loads(written).predict_proba(inputs), model.predict_proba(inputs))


@pytest.mark.parametrize("library", [pd, pl])
def test_a_frame_may_hold_categories_and_missing_values(library: Any) -> None:
    numbers = np.arange(200)
    columns = {
        "colour": [["red", "green", None][i % 3] for i in numbers],
        "size": [None if i % 7 == 0 else float(i % 5) for i in numbers],
    }
    targets = ["yes" if i % 3 == 0 else "no" for i in numbers]
    frame = library.DataFrame(columns)
    model = NetworkClassifier(epochs=20, random_state=0).fit(frame, targets)
    assert list(model.classes_) == ["no", "yes"]
    assert list(model.feature_names_in_) == ["colour", "size"]
    assert model.score(frame, targets) > 0.95


@pytest.mark.parametrize("levels", [[1000, 2000, 3000], [0.5, 1.0, 2.0], ["10", "20", "30"], [True, False, None]])
def test_a_category_by_its_type_is_one_whatever_it_holds(levels: list[Any]) -> None:
    codes = pd.Categorical([levels[i % 3] for i in range(120)])
    frame = pd.DataFrame({"zone": codes, "x": np.random.default_rng(0).normal(size=120)})
    targets = np.arange(120) % 3 == 1
    model = NetworkClassifier(epochs=30, random_state=0).fit(frame, targets)
    assert model.score(frame, targets) > 0.95
    assert isinstance(model.trainable_, Table)
    encoders = {encoder.name: encoder.kind for encoder in model.trainable_.table.preprocessing.encoders}
    assert encoders == {"zone": "category", "x": "number"}
    assert np.array_equal(model.predict(frame.iloc[:1]), model.predict(frame)[:1])


def test_a_polars_enum_of_digits_is_a_category() -> None:
    frame = pl.DataFrame({"zone": ["10", "20", "30"] * 40, "x": np.random.default_rng(0).normal(size=120)})
    frame = frame.with_columns(pl.col("zone").cast(pl.Enum(["10", "20", "30"])))
    model = NetworkClassifier(epochs=1, random_state=0).fit(frame, np.arange(120) % 3 == 1)
    assert isinstance(model.trainable_, Table)
    assert model.trainable_.table.preprocessing.features == ["zone = 10", "zone = 20", "zone = 30", "x"]


def test_messages_call_the_targets_y() -> None:
    inputs = np.random.default_rng(0).normal(size=(60, 3))
    with pytest.raises(ValueError, match=r"^the data: target 'y' is 1 in every row"):
        NetworkRegressor(epochs=1).fit(inputs, np.ones(60))
    with pytest.raises(ValueError, match=r"^the data: target 'y1' is 1 in every row"):
        NetworkRegressor(epochs=1).fit(inputs, np.c_[inputs[:, 0], np.ones(60)])
    frame = pd.DataFrame(inputs, columns=["y", "x", "target y"]).assign(colour=["red", "green"] * 30)
    with pytest.raises(ValueError, match=r"^the data: target 'target target y' is 1 in every row"):
        NetworkRegressor(epochs=1).fit(frame, np.ones(60))


def test_hyperparameters_are_parameters() -> None:
    model = NetworkClassifier(depth=2, learning_rate=1e-2)
    assert model.get_params()["depth"] == 2
    assert clone(model).get_params() == model.get_params()
    assert model.set_params(width=7).get_params()["width"] == 7
    with pytest.raises(ValueError, match=r"unknown parameter 'wdth' .*did you mean 'width'"):
        model.set_params(wdth=7)
    assert NetworkClassifier().set_params(kernel=5, trainable=Waves).get_params()["kernel"] == 5
    inputs, targets = iris()
    grid = GridSearchCV(NetworkClassifier(epochs=1, random_state=0), {"depth": np.arange(2)}, cv=2)
    assert grid.fit(inputs, targets).best_params_["depth"] in (0, 1)


def test_a_search_keeps_the_best_of_the_networks_it_trained() -> None:
    inputs, targets = iris()
    model = TunedClassifier(trials=4, epochs=10, depth="1..2", width=[8, 16], random_state=0).fit(inputs, targets)
    assert {trial.params["depth"] for trial in model.study_.trials} <= {1, 2}
    assert model.best_params_["width"] in (8, 16)
    assert model.best_score_ == model.study_.best_value
    best = [trial for trial in model.study_.trials if trial.value == model.best_score_]
    assert any(trial.params.items() <= model.best_params_.items() for trial in best)
    assert model.score(inputs, targets) > 0.8


class Waves(Trainable):
    """A network of one's own, on images of one row."""

    def load(self) -> Dataset:
        raise NotImplementedError

    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        kernel = Hyperparameter(name="kernel", default=Fixed(value=3), minimum=1, maximum=9, description="its width")
        return (kernel, *TRAINING)

    def network(self, params: Mapping[str, Any]) -> nn.Module:
        return nn.Sequential(
            nn.Conv1d(1, 4, params["kernel"], padding="same"), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)
        )

    def loss(self, params: Mapping[str, Any]) -> Loss:
        return CrossEntropy()


class Heights(Waves):
    default_metric = "rmse"

    def network(self, params: Mapping[str, Any]) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 1))

    def loss(self, params: Mapping[str, Any]) -> Loss:
        return MeanSquaredError()


def waves() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    targets = np.arange(120) % 2
    chance = np.random.default_rng(0)
    time = np.linspace(0, 6, 16)
    return (np.sin(time * (1 + targets[:, None])) + chance.normal(0, 0.2, (120, 16)))[:, None, :], targets


def test_any_trainable_is_an_estimator() -> None:
    inputs, targets = waves()
    model = NetworkClassifier(Waves, kernel=5, learning_rate=1e-2, random_state=0).fit(inputs, targets)
    assert model.params_["kernel"] == 5
    assert model.score(inputs, targets) > 0.9
    assert model.predict_proba(inputs).sum(1) == pytest.approx(1)
    tuned = TunedClassifier(Waves, trials=3, epochs=5, kernel=[1, 3, 9], random_state=0).fit(inputs, targets)
    assert tuned.best_params_["kernel"] in (1, 3, 9)
    heights = NetworkRegressor(Heights, learning_rate=1e-1, random_state=0).fit(inputs, inputs.sum((1, 2)))
    assert heights.predict(inputs).shape == (120,)
    assert heights.score(inputs, inputs.sum((1, 2))) > 0.9


class Recurrent(nn.Module):
    """Its first state is of 32 bits, whatever its weights are."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.GRU(1, 8, batch_first=True)
        self.out = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.steps(x.transpose(1, 2), torch.zeros(1, len(x), 8))
        out: torch.Tensor = self.out(states[:, -1])
        return out


class Steps(Waves):
    def network(self, params: Mapping[str, Any]) -> nn.Module:
        return Recurrent()


def test_a_network_of_ones_own_predicts_in_the_precision_it_learned_in() -> None:
    inputs, targets = waves()
    model = NetworkClassifier(Steps, epochs=2, random_state=0).fit(inputs, targets)
    assert model.predict_proba(inputs).sum(1) == pytest.approx(1)


def test_a_search_is_never_scored_on_what_the_networks_learned_from() -> None:
    chance = np.random.default_rng(0)
    noise, classes = chance.normal(size=(120, 5)), np.repeat(np.arange(30), 4)  # 24 samples score, of 30 classes
    model = TunedClassifier(
        trials=2, epochs=30, depth=2, width=256, learning_rate=3e-3, dropout=0.0, l1=0.0, l2=0.0, random_state=0
    ).fit(noise, classes)
    assert model.best_score_ < 0.3


def test_a_trial_that_raises_fails_and_the_search_goes_on() -> None:
    inputs, targets = iris()
    model = TunedClassifier(trials=4, epochs=2, batch_size=[1, 32], normalization="batch", sampler="grid")
    model.set_params(random_state=0).fit(inputs, targets)
    assert model.best_params_["batch_size"] == 32
    assert {trial.state.name for trial in model.study_.trials} == {"COMPLETE", "FAIL"}
    with pytest.raises(ValueError, match="at least 2 samples"):
        TunedClassifier(trials=2, batch_size=1, normalization="batch", random_state=0).fit(inputs, targets)


@pytest.mark.parametrize(("only", "shown"), [(0.0, "0.0"), ("a,b", "'a,b'")])
def test_the_only_class_is_told_as_it_is_written(only: Any, shown: str) -> None:
    with pytest.raises(ValueError, match=f"^y has one class only, {shown}; there is nothing to tell apart"):
        NetworkClassifier().fit(np.ones((8, 2)), [only] * 8)


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (NetworkClassifier(dept=2), "unknown hyperparameter 'dept'; did you mean 'depth'?"),
        (NetworkClassifier(depth="1..3"), "depth is a range: NetworkClassifier trains one network; Tuned… searches"),
        (NetworkClassifier(depth=-1), r"depth = -1: -1 is below the least legal value 0"),
        (NetworkClassifier("tabel"), "objective 'tabel' is not known; did you mean 'table'?"),
        (NetworkClassifier(metric="rmse"), "metric 'rmse' is for regression"),
        (TunedClassifier(activation=[np.str_("rel")]), "unknown value 'rel'; did you mean 'relu'?"),
        (TunedClassifier(trials=0), "trials = 0 must be at least 1"),
        (TunedClassifier(sampler="tpee"), "sampler = 'tpee' is not known; did you mean 'tpe'?"),
        (NetworkClassifier(depth=4, optimizer="sgd", learning_rate=99.0, momentum=0.99, random_state=0), "diverged"),
    ],
)
def test_what_cannot_be_fitted_is_a_value_error_with_one_line(model: Any, line: str) -> None:
    inputs, targets = iris()
    with pytest.raises(ValueError, match=line):
        model.fit(inputs, targets)


def test_the_outputs_of_a_network_must_be_the_classes() -> None:
    inputs, _ = waves()
    with pytest.raises(ValueError, match="3 classes"):
        NetworkClassifier(Waves, epochs=1).fit(inputs, np.arange(120) % 3)
