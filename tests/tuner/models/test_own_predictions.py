"""Kept networks of a person's own objective: what works by itself, and which method a message asks for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tuner.models.predicting import Kept, kept
from tuner.errors import DataError, TunerError, UsageError
from tuner.models.inference import load_model

MINE = """
import json
import torch
from torch import nn
from tuner import Trainable
from tuner.training import CrossEntropy, Dataset, MeanSquaredError, Part


class Blobs(Trainable):
    def load(self):
        torch.manual_seed(self.seed)
        classes = torch.arange(300) % 2
        points = torch.randn(300, 2) + 2 * classes.unsqueeze(1)
        return Dataset(
            training=Part(inputs=(points[:200],), targets=classes[:200]),
            validation=Part(inputs=(points[200:],), targets=classes[200:]),
        )

    def network(self, params):
        return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))

    def loss(self, params):
        return CrossEntropy()


class Sums(Blobs):
    default_metric = "rmse"

    def load(self):
        points = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
        parts = [Part(inputs=(some,), targets=some.sum(1, keepdim=True)) for some in points.split(100)]
        return Dataset(training=parts[0], validation=parts[1])

    def network(self, params):
        return nn.Linear(3, 1)

    def loss(self, params):
        return MeanSquaredError()


class Tokens(Blobs):
    default_metric = "token_accuracy"

    def load(self):
        numbers = torch.arange(60).reshape(20, 3) % 4
        parts = [Part(inputs=(some,), targets=some) for some in numbers.split(10)]
        return Dataset(training=parts[0], validation=parts[1])

    def take(self, inputs):
        return (torch.as_tensor(inputs).long(),)

    def network(self, params):
        return nn.Sequential(nn.Embedding(4, 8), nn.Linear(8, 4))


class Forgets(Blobs):
    def load(self):
        self.inputs = 2
        return super().load()

    def network(self, params):
        return nn.Linear(self.inputs, 2)


class Keeps(Forgets):
    def artifacts(self, params):
        return {"sizes.json": json.dumps({"inputs": self.inputs}).encode()}


class Restores(Keeps):
    def restore(self, files, params):
        self.inputs = json.loads(files["sizes.json"])["inputs"]
"""


def own(folder: Path, name: str) -> Kept:
    (folder / "mine.py").write_text(MINE)
    space = {"learning_rate": 0.05, "optimizer": "adam", "batch_size": 16}
    return kept(folder, objective={"name": f"{folder / 'mine.py'}:{name}"}, data={}, space=space)


def test_numbers_in_a_file_or_an_array_are_answered_by_the_number_of_the_class(tmp_path: Path) -> None:
    found = own(tmp_path, "Blobs")
    member = found.rebuilt.member
    assert member.dataset is not None
    points = member.dataset.validation.inputs[0].numpy()
    wanted = [str(number) for number in found.outputs().argmax(-1).tolist()]
    np.save(tmp_path / "new.npy", points)
    np.savetxt(tmp_path / "bare.csv", points, delimiter=",")
    np.savetxt(tmp_path / "named.csv", points, delimiter=",", header="x,y", comments="")
    np.savetxt(tmp_path / "unnamed", points, delimiter=",")
    for new in (points, *(tmp_path / name for name in ("new.npy", "bare.csv", "named.csv", "unnamed"))):
        assert found.model.predict(new)["class"].to_list() == wanted
    shares = found.model.predict(points, probabilities=True)
    np.testing.assert_allclose(shares["p(1)"], found.outputs().softmax(-1)[:, 1].numpy(), atol=2e-6)
    points[1] = np.nan
    assert found.model.predictions(points).frame["class"].to_list()[:3] == [wanted[0], None, wanted[2]]


def test_values_are_answered_as_numbers(tmp_path: Path) -> None:
    found = own(tmp_path, "Sums")
    rows = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.5]])
    answers = found.model.predict(rows.numpy())["answer"].to_numpy()
    np.testing.assert_allclose(answers, found.rebuilt.member.module(rows)[:, 0].detach().numpy(), rtol=1e-6)


def test_what_a_network_needs_of_the_data_is_kept_and_restored(tmp_path: Path) -> None:
    found = own(tmp_path, "Restores")
    assert json.loads((found.place / "sizes.json").read_text()) == {"inputs": 2}
    assert len(found.model.predict(np.zeros((3, 2)))) == 3


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "Forgets",
            r"Forgets\.network\(params\) fails where load\(\) has not been called \(.*\); write Forgets\.artif",
        ),
        ("Keeps", r"Keeps keeps sizes\.json beside its networks, but does not read .* write Keeps\.restore"),
    ],
)
def test_a_message_names_the_method_that_is_missing(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        own(tmp_path, name)


def test_what_the_network_cannot_be_called_with_is_told(tmp_path: Path) -> None:
    model = own(tmp_path, "Blobs").model
    with pytest.raises(
        DataError, match=r"the network cannot be called with samples \[3\]: RuntimeError.*Blobs\.samples"
    ):
        model.predict(np.zeros((4, 3)))
    (tmp_path / "words.csv").write_text("x,y\n1,two\n")
    with pytest.raises(DataError, match=r"words\.csv: column 'y' holds 'two', which is no number"):
        model.predict(tmp_path / "words.csv")
    with pytest.raises(DataError, match=r"reads new samples from \.csv and \.npy"):
        model.predict(tmp_path / "mine.py")
    with pytest.raises(DataError, match="no such file"):
        model.predict("nowhere.csv")


def test_outputs_that_nobody_can_read_ask_for_the_method_that_says_how(tmp_path: Path) -> None:
    model = own(tmp_path, "Tokens").model
    with pytest.raises(UsageError, match=r"how outputs \[3, 4\] are to be read, Tokens\.answers\(outputs\) must say"):
        model.predict(np.ones((2, 3)))


def test_code_that_is_gone_is_told(tmp_path: Path) -> None:
    found = own(tmp_path, "Blobs")
    (tmp_path / "mine.py").unlink()
    with pytest.raises(TunerError, match=r"mine\.py"):
        load_model(str(found.place))
