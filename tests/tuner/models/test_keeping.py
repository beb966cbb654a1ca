"""Networks that are kept under a name, and begun with."""

from __future__ import annotations

import json
import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.tuner import studies
from tuner import study
from tuner.errors import NoFinishedTrialError, UsageError
from tuner.models.keeping import keep, keep_best
from tuner.results import Results
from tuner.workers.trainable_worker import TrainableWorker

SMALL: dict[str, Any] = {
    "space": {"depth": 1, "width": 8},
    "search": {"sampler": "random", "pruner": "none"},
    "budget": {"trials": 3},
}


def finished(folder: Path, **tables: Any) -> Results:
    results = studies.create(folder, **SMALL | tables)
    studies.work(results)
    return results


def test_the_best_network_is_the_one_that_scored_so_though_its_checkpoint_is_gone(tmp_path: Path) -> None:
    results = finished(tmp_path)
    kept = keep(results)
    best = results.best()[0]
    assert (kept.trials, kept.epochs_trained) == ([best.number], best.attributes["epochs"])
    assert kept.scores["accuracy"] == pytest.approx(best.values["accuracy"])
    assert kept.place == str(tmp_path / "tuner-models" / "quick")
    weights = load_file(f"{kept.place}/weights.safetensors")
    assert weights["layers.0.weight"].shape == (8, 4)
    card = json.loads(Path(kept.place, "card.json").read_text())
    assert (card["study"], card["trial"], card["params"]["width"]) == ("quick", best.number, 8)
    assert card["noted"]["validation"]["accuracy"] == pytest.approx(kept.scores["accuracy"])
    assert json.loads(Path(kept.place, "preprocessing.json").read_text())["target"]["classes"][0] == "setosa"


def test_a_checkpoint_of_the_end_saves_training_again_and_gives_the_same_network(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    again = keep(finished(tmp_path / "one"))
    at_hand = keep(finished(tmp_path / "other", training={"epochs": 6, "checkpoints": {"keep_best": 1}}))
    assert (again.trials, at_hand.epochs_trained) == (at_hand.trials, 0)
    one, other = (load_file(f"{kept.place}/weights.safetensors") for kept in (again, at_hand))
    for name, value in one.items():
        torch.testing.assert_close(other[name], value)


def test_another_trial_is_kept_when_asked_for(tmp_path: Path) -> None:
    results = finished(tmp_path)
    other = next(row.number for row in results.trials() if row.number != results.best()[0].number)
    assert keep(results, trials=[other], name="other").trials == [other]


def test_a_name_is_only_taken_over_when_told_so(tmp_path: Path) -> None:
    results = finished(tmp_path)
    keep(results)
    with pytest.raises(UsageError, match=r"there is a model 'quick' already; --force overwrites it, --name"):
        keep(results)
    keep(results, replace=True)
    with pytest.raises(UsageError, match="a name holds letters"):
        keep(results, name="../quick")


def test_a_trial_without_a_network_is_refused(tmp_path: Path) -> None:
    results = studies.create(tmp_path, **SMALL)
    with pytest.raises(NoFinishedTrialError):
        keep(results)
    worker = studies.make_worker(results)
    assert isinstance(worker, TrainableWorker)
    worker._fill()
    with pytest.raises(UsageError, match="trial 0 is"):
        keep(results, trials=[0])
    worker.put_down()


def test_the_best_network_is_kept_when_the_study_ends_and_only_written_when_it_is_another(tmp_path: Path) -> None:
    results = finished(tmp_path, model={"keep_as": "iris_net"})
    first = keep_best(results)
    assert first is not None
    assert (first.name, first.epochs_trained) == ("iris_net", 0)
    assert keep_best(results) is None


def test_a_name_that_another_studys_network_has_is_refused_before_the_study_is_created(tmp_path: Path) -> None:
    keep(finished(tmp_path), name="taken")
    with pytest.raises(UsageError, match="another study's network is kept as 'taken'"):
        studies.create(tmp_path, name="second", model={"keep_as": "taken"})


def test_a_kept_network_is_begun_with_by_its_name(tmp_path: Path) -> None:
    kept = keep(finished(tmp_path))
    results = studies.create(tmp_path, name="second", model={"start_from": "quick"}, space=SMALL["space"])
    assert study.stored_spec(results).model.start_from.startswith(f"{kept.place}#sha256=")
    worker = studies.make_worker(results)
    assert isinstance(worker, TrainableWorker)
    module = worker._make(0, worker.space.suggest(studies.usual_trial(worker.space))).module
    weights = load_file(f"{kept.place}/weights.safetensors")
    assert all(torch.equal(value, weights[name]) for name, value in module.state_dict().items())
    with pytest.raises(UsageError, match=r"there is no model 'quik' in .*; did you mean 'quick'\?"):
        studies.create(tmp_path, name="third", model={"start_from": "quik"})


def test_a_network_that_comes_out_otherwise_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    finished(tmp_path)
    with closing(sqlite3.connect(tmp_path / "tuner.db")) as other, other:
        other.execute("UPDATE trial_values SET value = 0.123")
    caplog.set_level(logging.WARNING, logger="tuner")
    keep(study.load("quick", storage=f"sqlite:///{tmp_path / 'tuner.db'}"))
    assert "had accuracy 0.123; trained again on this machine" in caplog.text


def test_a_study_of_estimators_has_no_network_to_keep(tmp_path: Path) -> None:
    tree = {"objective": {"name": "sklearn.tree.DecisionTreeClassifier"}, "space": {"max_depth": 3}, "training": {}}
    with pytest.raises(UsageError, match="study 'quick' fits estimators of scikit-learn"):
        keep(studies.create(tmp_path, **SMALL | tree))
