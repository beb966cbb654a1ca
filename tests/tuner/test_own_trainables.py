"""What is said of a Trainable of a person's own that raises, or returns what it must not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tuner import studies
from tuner import attributes, sources
from tuner.errors import TunerError
from tuner.tryout import try_out

TRAINABLES = """
import torch
from torch import nn

from tuner import TRAINING, Choices, Hyperparameter, Trainable
from tuner.metrics import Metric
from tuner.training import CrossEntropy, Dataset, Loss, Part


class Mine(Trainable):
    def load(self):
        part = Part(inputs=(torch.eye(8),), targets=torch.arange(8) % 2)
        return Dataset(training=part, validation=part)

    def network(self, params):
        return nn.Linear(8, 2)

    def loss(self, params):
        return CrossEntropy()


class NoRows(Mine):
    def load(self):
        return Part(inputs=(torch.eye(8)[:0],), targets=torch.arange(0))


class Positional(Mine):
    def hyperparameters(self):
        return [Hyperparameter(name="kind", default=Choices(["a", "b"]), description=""), *TRAINING]


class Unfinished(Trainable):
    load, network = Mine.load, Mine.network


class NotMade(Mine):
    def __init__(self, options, data, *, seed):
        self.rows = {}["rows"]


class NoDataset(Mine):
    def load(self):
        return torch.eye(8), torch.arange(8)


class NoModule(Mine):
    def network(self, params):
        return lambda x: x


class Torchs(Mine):
    def loss(self, params):
        return nn.CrossEntropyLoss()


class Mean(Loss):
    name = "mean"

    def __call__(self, outputs, targets):
        return outputs.square().mean()


class ScalarLoss(Mine):
    def loss(self, params):
        return Mean()


class Pair(nn.Linear):
    def forward(self, x):
        return super().forward(x), x


class Tuple(Mine):
    def network(self, params):
        return Pair(8, 2)


class Share(Metric):
    def __call__(self, outputs, targets):
        return outputs.mean()


class ScalarMetric(Mine):
    def metrics(self):
        return [Share(name="share", task="classification", direction="maximize", description="")]
"""
WRONG_WHEN_MADE = [
    ("NoRows", "the objective failed: ValueError: a part needs at least one sample", "in load"),
    ("Positional", "the objective failed: TypeError: Choices.__init__() takes 1 positional", "in hyperparameters"),
    ("Unfinished", "[objective]: Unfinished lacks loss; write it as a method", ""),
    ("NotMade", "the objective failed: KeyError: 'rows'", "in __init__"),
    ("NoDataset", "NoDataset.load() must return a tuner.training.Dataset; it returned a value of type tuple", ""),
]
WRONG_IN_TRAINING = [
    ("NoModule", "NoModule.network(params) must return a torch.nn.Module; it returned a value of type"),
    ("Torchs", "Torchs.loss(params) must return a tuner.training.Loss; it returned a value of type CrossEnt"),
    ("ScalarLoss", "the loss Mean must return a number for each of the M networks that are scored at once, here a "),
    (
        "Tuple",
        "the network Pair must return one tensor [B, …], a row for each sample; it returned a value of type tuple",
    ),
    ("ScalarMetric", "the metric share must return a number for each of the M networks that are scored at once, here"),
]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(TRAINABLES)
    return path


@pytest.mark.parametrize(("name", "line", "where"), WRONG_WHEN_MADE)
def test_an_objective_that_cannot_be_made_is_told_as_its_own(
    tmp_path: Path, mine: Path, name: str, line: str, where: str
) -> None:
    with pytest.raises(TunerError) as tried:
        try_out(sources.read_spec(f"{mine}:{name}")[0], where="test")
    with pytest.raises(TunerError) as started:
        studies.create(tmp_path, data={}, objective={"name": f"{mine}:{name}"})
    for caught in (tried, started):
        assert line in str(caught.value)
        assert "\n" not in str(caught.value)
        shown = getattr(caught.value, "traceback", "")
        assert where in shown
        assert "own_code.py" not in shown
    assert not (tmp_path / "tuner.db").exists()


@pytest.mark.parametrize(("name", "line"), WRONG_IN_TRAINING)
def test_what_a_method_must_return_is_said_in_one_line(tmp_path: Path, mine: Path, name: str, line: str) -> None:
    with pytest.raises(TunerError) as caught:
        try_out(sources.read_spec(f"{mine}:{name}")[0], where="test")
    assert str(caught.value).startswith(line)
    results = studies.create(tmp_path, data={}, objective={"name": f"{mine}:{name}"}, budget={"trials": 4})
    with pytest.raises(TunerError) as caught:
        studies.work(results)
    assert line in str(caught.value)
    failure = results.trial(0).attributes[attributes.FAILURE]
    assert failure["class"] == attributes.OBJECTIVE_ERROR
    assert failure["traceback"] == ""
