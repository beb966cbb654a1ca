"""Networks that were kept together answer with the mean of what each of them says."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

import tuner
from storage import ModelStore
from tests.objectives.tables_kit import messy
from tests.objectives.text.texts_kit import reviews
from tests.objectives.translation.kit import PARAMS, backwards
from tests.tuner import studies
from tests.tuner.models.predicting import in_parts, validation
from tuner.errors import DataError, SpecError, UsageError
from tuner.models.inference import Predictor, load_model
from tuner.models.keeping import KeptModel, keep, keep_best
from tuner.models.naming import summaries
from tuner.results import Results

SPACE: dict[str, Any] = {"depth": [0, 1], "width": [4, 8], "learning_rate": 0.02, "optimizer": "adam"}
SEARCH: dict[str, Any] = {"sampler": "random", "pruner": "none"}


def finished(folder: Path, frame: pl.DataFrame, target: str | list[str], **tables: Any) -> Results:
    """Return a study of four trials; the validation rows alone are new.csv."""
    frame = in_parts(frame)
    frame.write_csv(folder / "all.csv")
    validation(frame).write_csv(folder / "new.csv")
    data = {"source": str(folder / "all.csv"), "target": target, "split_column": "part", **tables.pop("data", {})}
    given = {"space": SPACE, "search": SEARCH, "training": {"epochs": 3}, "budget": {"trials": 4}}
    results = studies.create(folder, data=data, **given | tables)
    studies.work(results)
    return results


def opened(results: Results, *trials: int) -> tuple[Predictor, KeptModel]:
    kept = keep(results, trials=trials, name="model", replace=True)
    return load_model(kept.place), kept


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path]:
    folder = tmp_path_factory.mktemp("classes")
    return finished(folder, messy(), "left"), folder


def test_an_ensemble_answers_with_the_mean_of_probabilities(classes: tuple[Results, Path]) -> None:
    results, folder = classes
    kept = keep(results, ensemble=3, name="three")
    best = [row.number for row in results.best(3)]
    assert kept.trials == best
    apart = [opened(results, number)[0].predict(folder / "new.csv", probabilities=True) for number in best]
    together = load_model(kept.place).predictions(folder / "new.csv", probabilities=True)
    assert together.frame.columns == ["left", "p(no)", "p(yes)"]
    mean = np.mean([one["p(yes)"].to_numpy() for one in apart], axis=0)
    np.testing.assert_allclose(together.frame["p(yes)"].to_numpy(), mean, atol=1e-6)
    assert together.frame["left"].to_list() == ["yes" if share > 0.5 else "no" for share in mean]
    assert together.scores["accuracy"] == pytest.approx(kept.scores["accuracy"]), "new.csv is the validation part"
    assert [scores["accuracy"] for scores in kept.alone] == [row.values["accuracy"] for row in results.best(3)]


def test_its_card_tells_of_each_network_and_what_they_share_is_kept_once(classes: tuple[Results, Path]) -> None:
    results, _ = classes
    kept = keep(results, ensemble=3, name="told")
    card = json.loads(Path(kept.place, "card.json").read_text())
    assert (card["study"], card["trial"], card["scores"]) == ("quick", None, kept.scores)
    assert [network["trial"] for network in card["networks"]] == list(kept.trials)
    for network in card["networks"]:
        assert network["params"]["learning_rate"] == 0.02
        assert network["scores"].keys() == {"accuracy"}
    assert card["network_parameters"] == sum(network["network_parameters"] for network in card["networks"])
    files = sorted(path.name for path in Path(kept.place).iterdir())
    weights = [f"{number}.weights.safetensors" for number in range(3)]
    assert files == sorted(["card.json", "0.preprocessing.json", *weights])


def test_numbers_are_the_mean_in_their_own_units(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    x = chance.normal(size=(200, 2))
    frame = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "price": 5000 + 300 * x[:, 0], "area": 80 - 9 * x[:, 1]})
    results = finished(tmp_path, frame, ["price", "area"])
    kept = keep(results, ensemble=4)
    apart = [opened(results, number)[0].predict(tmp_path / "new.csv") for number in range(4)]
    together = load_model(kept.place).predict(tmp_path / "new.csv")
    for column in ("price", "area"):
        mean = np.mean([one[column].to_numpy() for one in apart], axis=0)
        np.testing.assert_allclose(together[column].to_numpy(), mean, rtol=1e-6)


def test_each_network_reads_texts_by_its_own_tokenizer_from_one_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {
        "network": "bag_of_embeddings",
        "tokenizer": ["word", "character"],
        "learning_rate": 0.02,
        "optimizer": "adam",
    }
    results = finished(
        tmp_path,
        reviews(),
        "sentiment",
        objective={"name": "text"},
        data={"text": "review"},
        space=space,
        search=SEARCH | {"first": [{"tokenizer": "word"}, {"tokenizer": "character"}]},
        budget={"trials": 2},
    )
    assert {row.params["tokenizer"] for row in results.trials()} == {"word", "character"}
    model, _ = opened(results, 0, 1)
    apart = [opened(results, number)[0].predict(tmp_path / "new.csv", probabilities=True) for number in (0, 1)]
    pipe = SimpleNamespace(buffer=io.BytesIO((tmp_path / "new.csv").read_bytes()))
    monkeypatch.setattr(sys, "stdin", pipe)
    mean = np.mean([one["p(good)"].to_numpy() for one in apart], axis=0)
    os.mkfifo(tmp_path / "named")
    content = (tmp_path / "new.csv").read_bytes()
    writer = threading.Thread(target=(tmp_path / "named").write_bytes, args=(content,))
    writer.start()
    for way in ("-", tmp_path / "named"):
        together = model.predict(way, probabilities=True)
        np.testing.assert_allclose(together["p(good)"].to_numpy(), mean, atol=1e-6)
    writer.join()


def test_a_row_that_cannot_be_read_has_no_answer(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(80, 2))
    frame = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "sum": x.sum(1)})
    model = load_model(keep(finished(tmp_path, frame, "sum"), ensemble=2).place)
    found = model.predictions(pl.DataFrame({"a": [0.0, math.inf, 1.0], "b": [0.0, 0.0, 1.0]}))
    assert list(found.faults) == [1]
    assert found.frame["sum"].is_null().to_list() == [False, True, False]


OWN = """
from dataclasses import replace

import torch
from torch import nn
from tuner import Trainable
from tuner.training import CrossEntropy, Dataset, Part


class Votes(Trainable):
    def load(self):
        points = torch.randn(120, 2, generator=torch.Generator().manual_seed(0))
        classes = (points.sum(1) > 0).long()
        part = lambda rows: Part(inputs=(points[rows],), targets=classes[rows])
        return Dataset(training=part(slice(0, 80)), validation=part(slice(80, 120)))

    def network(self, params):
        return nn.Linear(2, 2)

    def loss(self, params):
        return CrossEntropy()

    def combine(self, outputs):
        return nn.functional.one_hot(outputs.argmax(-1), 2).double().sum(0)


class Scaled(Votes):
    combine = Trainable.combine

    def samples(self, data, params):
        found = super().samples(data, params)
        scale = 1 if params["learning_rate"] < 0.5 else 100
        warnings = [f"scaled by {scale}"]
        return replace(found, feeds=tuple(feed * scale for feed in found.feeds), warnings=warnings, most=200 // scale)
"""


def own(folder: Path, name: str, learning_rates: list[float]) -> Results:
    """Return a study of an own objective with a trial for each learning rate."""
    (folder / "own.py").write_text(OWN)
    results = studies.create(
        folder,
        objective={"name": f"{folder / 'own.py'}:{name}"},
        data={},
        space={"learning_rate": learning_rates, "optimizer": "sgd"},
        search=SEARCH | {"first": [{"learning_rate": rate} for rate in learning_rates]},
        training={"epochs": 1},
        budget={"trials": len(learning_rates)},
    )
    studies.work(results)
    return results


def test_an_objective_may_say_itself_how_its_networks_answer_together(tmp_path: Path) -> None:
    results = own(tmp_path, "Votes", [0.001, 0.1, 1.0])
    points = np.random.default_rng(1).normal(size=(50, 2))
    votes = sum(opened(results, number)[0].predict(points)["class"].cast(int).to_numpy() for number in range(3))
    together = opened(results, 0, 1, 2)[0].predict(points)["class"].cast(int).to_numpy()
    assert (together == (votes > 1.5)).all()
    found = opened(results, 0, 1, 2)[0].predictions([[1.0, 2.0], [3e38, 3e38]])
    assert list(found.faults) == [1], "one of them has no answer, whatever the others make of it"


def test_networks_that_read_samples_in_ways_of_their_own_each_do(tmp_path: Path) -> None:
    results = own(tmp_path, "Scaled", [0.1, 1.0])
    points = np.random.default_rng(1).normal(size=(50, 2))
    apart = [opened(results, number)[0].predict(points, probabilities=True)["p(1)"].to_numpy() for number in (0, 1)]
    found = opened(results, 0, 1)[0].predictions(points, probabilities=True)
    np.testing.assert_allclose(found.frame["p(1)"].to_numpy(), np.mean(apart, axis=0), atol=1e-6)
    assert found.warnings == ["scaled by 1", "scaled by 100"]


def test_what_cannot_answer_together_is_refused(classes: tuple[Results, Path], tmp_path: Path) -> None:
    results, folder = classes
    with pytest.raises(UsageError, match="--ensemble 9: study 'quick' has 4 trials to choose from"):
        keep(results, ensemble=9, name="nine")
    with pytest.raises(UsageError, match="give one of them"):
        keep(results, ensemble=2, trials=[0], name="both")
    place = keep(results, ensemble=2, name="pair").place
    with pytest.raises(DataError, match="is an ensemble of 2 networks, not a network to begin with; keep one trial"):
        tuner.start(
            data=str(folder / "all.csv"),
            target="left",
            name="more",
            storage=f"sqlite:///{tmp_path / 'tuner.db'}",
            settings=[f"model.start_from={place}"],
        )


def test_sequences_have_no_mean(tmp_path: Path) -> None:
    backwards(60).write_csv(tmp_path / "pairs.csv")
    results = studies.create(
        tmp_path,
        objective={"name": "translation"},
        data={"source": str(tmp_path / "pairs.csv"), "target": "backwards"},
        space={**PARAMS, "learning_rate": 0.01, "optimizer": "adam"},
        search=SEARCH,
        training={"epochs": 1},
        budget={"trials": 2},
    )
    studies.work(results)
    with pytest.raises(
        UsageError,
        match="a network of study 'quick' answers with sequences, of which there is no mean; keep one",
    ):
        keep(results, ensemble=2)
    assert not (tmp_path / "tuner-models").exists()


def test_a_study_keeps_its_best_networks_together_when_its_run_ends(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(80, 2))
    frame = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "sum": x.sum(1)})
    results = finished(tmp_path, frame, "sum", model={"keep_as": "sums", "ensemble": 3})
    kept = keep_best(results)
    assert kept is not None
    assert kept.trials == [row.number for row in results.best(3)]
    assert kept.epochs_trained == 0, "their checkpoints are kept for it"
    assert keep_best(results) is None, "it is there already"
    assert keep(results, name="again").trials == kept.trials, "as [model] says"
    assert len(keep(results, ensemble=1, name="one").trials) == 1


def test_an_ensemble_of_what_cannot_answer_together_is_refused_before_anything_runs(tmp_path: Path) -> None:
    backwards(60).write_csv(tmp_path / "pairs.csv")
    data = {"source": str(tmp_path / "pairs.csv"), "target": "backwards"}
    with pytest.raises(SpecError, match=r"\[model\]: ensemble = 2: a network of this objective answers with sequences"):
        studies.create(tmp_path, objective={"name": "translation"}, data=data, model={"ensemble": 2})
    with pytest.raises(SpecError, match=r"\[model\] ensemble: what is fitted in one go has no weights to keep"):
        studies.create(tmp_path, objective={"name": "SVC"}, training={}, model={"ensemble": 2})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"networks": []}, "tells of no network"),
        ({"networks": 5}, "does not say its networks"),
        ({"networks": [{"trial": 1, "params": {}, "scores": {}}]}, "does not say its files"),
        ({"networks": [3]}, "does not say its trial"),
        ({"objective": None}, "does not say its objective"),
    ],
)
def test_a_card_that_was_damaged_by_hand_hides_no_other_model(
    classes: tuple[Results, Path], tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    results, _ = classes
    place = Path(keep(results, ensemble=2, name="whole", replace=True).place)
    for name in ("whole", "other"):
        shutil.copytree(place, tmp_path / name)
    card = tmp_path / "other" / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"name": "other"} | change))
    with pytest.raises(DataError, match=says):
        load_model(str(tmp_path / "other"))
    listed = summaries(ModelStore(str(tmp_path)))
    assert [(card["name"], "damaged" in card) for card in listed] == [("other", True), ("whole", False)]
