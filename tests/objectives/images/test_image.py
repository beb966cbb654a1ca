"""Images as an objective: what is recognised, what is searched, what is told; and whole studies of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from objectives.images import Image
from objectives.images.options import ImageData
from tests.objectives.images.kit import PARAMS, class_folders, make_images
from tests.tuner import studies
from tuner import attributes, study
from tuner.sources import read_spec
from tuner.space import Choices, Fixed
from tuner.workers.running import free_the_dead


def test_class_folders_and_arrays_of_images_are_recognised(tmp_path: Path) -> None:
    photos = class_folders(tmp_path / "photos", count=1)
    class_folders(tmp_path / "split" / "train", count=1)
    class_folders(tmp_path / "split" / "test", count=1)
    images = np.zeros((4, 5, 5, 3), np.uint8)
    np.savez(tmp_path / "images.npz", X=images, y=np.arange(4))
    np.savez_compressed(tmp_path / "parts.npz", x_train=images[..., 0], y_train=np.arange(4))
    np.save(tmp_path / "images.npy", images)
    for path in (
        photos,
        photos / "dots",
        tmp_path / "split",
        *(tmp_path / f"{name}" for name in ("images.npz", "parts.npz", "images.npy")),
    ):
        assert Image.recognises(path), path


def test_what_is_not_plainly_images_is_not_recognised(tmp_path: Path) -> None:
    np.savez(tmp_path / "table.npz", X=np.zeros((4, 5)), y=np.arange(4))
    np.savez(tmp_path / "both.npz", data=np.zeros((4, 25)), images=np.zeros((4, 5, 5)), target=np.arange(4))
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and nothing more")
    (tmp_path / "rows.csv").write_text("file,label\na.png,cat\n")
    (tmp_path / "texts" / "good").mkdir(parents=True)
    (tmp_path / "texts" / "good" / "1.txt").write_text("fine")
    for path in (*tmp_path.iterdir(), tmp_path / "absent"):
        assert not Image.recognises(path), path


def test_augmentation_is_searched_for_photos_and_off_for_what_is_grey(tmp_path: Path) -> None:
    def flip(source: Path, target: str = "") -> object:
        found = make_images(source=str(source), target=target).hyperparameters()
        return {hyper.name: hyper.default for hyper in found}["flip"]

    photos, digits = class_folders(tmp_path / "photos", count=1), class_folders(tmp_path / "digits", count=1, mode="L")
    np.savez(tmp_path / "photos.npz", X=np.zeros((4, 5, 5, 3)), y=np.arange(4))
    np.savez(tmp_path / "digits.npz", X=np.zeros((4, 5, 5)), y=np.arange(4))
    (tmp_path / "photos.csv").write_text("file,label\nphotos/dots/000.png,dots\n")
    for source in (photos, tmp_path / "photos.npz"):
        assert flip(source) == Choices(choices=(False, True))
    assert flip(tmp_path / "photos.csv", "label") == Choices(choices=(False, True))
    scans = class_folders(tmp_path / "scans", count=1, mode="L", suffix=".gif")
    for source in (digits, scans, tmp_path / "digits.npz", tmp_path / "absent.csv"):
        assert flip(source) == Fixed(value=False)


def test_a_wrong_size_is_refused() -> None:
    wrong: list[int | list[int]] = [0, -3, [8, 0], [1, 2, 3], 100_000]
    for size in wrong:
        with pytest.raises(ValueError, match="from 1 to 2048 pixels"):
            ImageData(size=size)
    assert ImageData(size=[8]).wanted_size() == ImageData(size=8).wanted_size() == (8, 8)


def test_what_was_found_is_told_as_json(tmp_path: Path) -> None:
    images = make_images(source=str(class_folders(tmp_path / "photos")))
    images.load()
    told = json.loads(json.dumps(images.describe(), allow_nan=False))
    assert told["source"] == "photos"
    assert told["rows"] == {"training": 12, "validation": 4, "test": 4}
    assert told["mean"].keys() == {"red", "green", "blue"}


def test_changes_are_made_in_training_only_when_asked_for(tmp_path: Path) -> None:
    images = make_images(source=str(class_folders(tmp_path / "photos")))
    (inputs,) = images.load().training.inputs
    assert images.network(PARAMS).augmentation is None
    changing = images.network(PARAMS | {"flip": True, "shift": 0.1})
    assert not torch.equal(changing(inputs), changing(inputs))


def test_importing_the_objective_imports_nothing_heavy() -> None:
    code = "import sys, objectives.images; assert not {'torch', 'sklearn', 'numpy', 'polars', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


SPACE = {"depth": 1, "width": 4, "batch_size": 8, "flip": False, "learning_rate": 0.05, "optimizer": "adam"}


def test_trials_of_images_are_judged_as_those_of_tables(tmp_path: Path) -> None:
    photos = class_folders(tmp_path / "photos", count=20)
    results = studies.create(
        tmp_path,
        objective={"name": "image"},
        data={"source": str(photos)},
        space=SPACE | {"normalization": "batch", "schedule": "constant", "dropout": 0.0, "head": "flatten"},
        budget={"trials": 2},
        training={"epochs": 6},
    )
    studies.work(results)
    best = results.best()[0]
    assert best.values["accuracy"] == 1.0
    noted = best.attributes
    assert noted[attributes.VALIDATION]["confusion_matrix"] == [[4, 0], [0, 4]]
    assert noted[attributes.VERDICT] == "generalises"
    assert {"f1", "roc_auc", "log_loss", "fpr"} <= noted[attributes.VALIDATION].keys()


def test_a_study_of_a_folder_is_continued_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class_folders(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    settings = [f"space.{key}={value}" for key, value in SPACE.items()] + ["training.epochs=1", "space.dropout=0.1"]
    spec, where = read_spec(None, data="photos", settings=settings, changes={"budget.trials": 1})
    results = study.create(spec, where=where, storage=f"sqlite:///{tmp_path / 'tuner.db'}")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert studies.work(results) == "budget spent"
    assert results.trials()[0].state == "finished"


EPOCHS = 120


def test_a_killed_study_of_augmented_images_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    tables = {
        "objective": {"name": "image"},
        "data": {"source": str(class_folders(tmp_path / "photos", count=30))},
        "space": SPACE
        | {
            "batch_size": 2,
            "flip": True,
            "shift": 0.1,
            "dropout": 0.2,
            "normalization": "batch",
            "schedule": "constant",
        },
        "search": {"sampler": "random", "pruner": "none"},
        "training": {"epochs": EPOCHS, "early_stopping": {"patience": 0}},
        "budget": {"trials": 2},
    }
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir()
    killed, whole = (studies.create(tmp_path / name, **tables) for name in ("killed", "whole"))

    def checkpointed() -> bool:  # trial 0, which is looked at below: a worker's other one does not tell
        if not any(row.number == 0 for row in killed.trials()):
            return False
        trial = killed.storage.get_trial_id_from_study_id_trial_number(killed.study_id, 0)
        return bool(killed.storage.checkpoints(trial)) and bool(killed.epochs(0))

    code = f"from tuner import study; study.resume('quick', workers=2, storage={storage(tmp_path / 'killed')!r})"
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE) as process:
        wait_for(checkpointed)
        victims = [worker.pid for worker in killed.storage.list_workers(killed.study_id)]
        for pid in (process.pid, *victims):
            os.kill(pid, signal.SIGKILL)
        process.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in victims))
    before = [epoch.scores for epoch in killed.epochs(0)]
    assert 1 <= len(before) < EPOCHS, "it was killed too late to test anything"
    free_the_dead(killed)
    for results in (killed, whole):
        assert studies.work(results) == "budget spent"
    curve, same = ([epoch.scores for epoch in results.epochs(0)] for results in (killed, whole))
    assert curve[0]["seconds"] == before[0]["seconds"]  # it was not trained again
    assert len(curve) == EPOCHS
    for one, other in zip(curve, same, strict=True):
        assert {**one, "seconds": 0} == pytest.approx({**other, "seconds": 0}, rel=1e-3, abs=1e-5)


def storage(folder: Path) -> str:
    return f"sqlite:///{folder / 'tuner.db'}"


def wait_for(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
