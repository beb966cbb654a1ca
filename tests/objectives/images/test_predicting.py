"""Kept networks of images answer new ones as the trained network answered those of the validation part."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from objectives.images.preparing import PreparedImages
from tests.objectives.images.kit import CLASSES, PARAMS, class_folders, make_images, picture
from tests.tuner.models.predicting import Kept, kept
from tuner.errors import DataError, UsageError
from tuner.models.inference import load_model

SPACE = {**PARAMS, "learning_rate": 0.01, "optimizer": "adam", "schedule": "constant", "batch_size": 8}
OPTIONS = {"name": "image"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Kept, Path]:
    """A network that learned from class folders, and the folder of those it was validated on."""
    folder = tmp_path_factory.mktemp("photos")
    class_folders(folder / "all" / "train", count=12)
    class_folders(folder / "all" / "validation", count=5, first=50)
    return kept(folder, objective=OPTIONS, data={"source": str(folder / "all")}, space=SPACE), folder


def test_a_folder_of_images_is_answered_as_the_trained_network_did(photos: tuple[Kept, Path]) -> None:
    found, folder = photos
    predictions = found.model.predictions(folder / "all" / "validation", probabilities=True)
    shares = found.outputs().softmax(-1)
    assert predictions.frame["file"].to_list() == [f"{label}/{n:03}.png" for label in CLASSES for n in range(50, 55)]
    assert predictions.frame["class"].to_list() == [CLASSES[number] for number in shares.argmax(-1).tolist()]
    np.testing.assert_allclose(predictions.frame["p(dots)"], shares[:, 0].numpy(), atol=2e-6)
    assert (predictions.scored, predictions.scores["accuracy"]) == (10, found.rebuilt.scores["accuracy"])
    for size in (1, 3):
        small = found.model.predict(folder / "all" / "validation", probabilities=True, batch_size=size)
        np.testing.assert_allclose(small["p(dots)"], predictions.frame["p(dots)"], atol=2e-6)


def test_images_in_any_folder_keep_their_line_when_they_cannot_be_read(
    photos: tuple[Kept, Path], tmp_path: Path
) -> None:
    found, folder = photos
    new = tmp_path / "new"
    (new / "deep" / "er").mkdir(parents=True)
    source = folder / "all" / "validation" / "dots" / "050.png"
    shutil.copy(source, new / "b.png")
    shutil.copy(source, new / "deep" / "er" / "a.png")
    (new / "c.png").write_bytes(source.read_bytes()[:-60])
    (new / "empty.png").write_bytes(b"")
    (new / "notes.md").write_text("no image")
    predictions = found.model.predictions(new)
    assert predictions.frame["file"].to_list() == ["b.png", "c.png", "deep/er/a.png", "empty.png"]
    answers = predictions.frame["class"].to_list()
    assert (answers[1], answers[3]) == (None, None)
    assert answers[0] == answers[2] is not None
    assert (set(predictions.faults), predictions.faults[3]) == ({1, 3}, "is empty")
    assert predictions.scores == {}


def test_a_table_of_paths_and_a_single_image_are_answered_too(photos: tuple[Kept, Path], tmp_path: Path) -> None:
    found, folder = photos
    whole = found.model.predict(folder / "all" / "validation")
    paths = [str(folder / "all" / "validation" / name) for name in whole["file"]]
    table = pl.DataFrame({"number": range(12), "picture": [*paths, "nowhere.png", None]})
    table.write_csv(tmp_path / "new.csv")
    predictions = found.model.predictions(tmp_path / "new.csv")
    assert predictions.frame["class"].to_list() == [*whole["class"], None, None]
    assert predictions.faults == {10: "no such file", 11: "an empty path"}
    assert predictions.with_data().columns == ["number", "picture", "class"]
    single = found.model.predict(paths[0])
    assert single.rows() == [("050.png", whole["class"][0])]


def test_a_table_for_a_model_of_a_table_has_its_columns(tmp_path: Path) -> None:
    class_folders(tmp_path, count=12)
    rows = [(f"{label}/{number:03}.png", number % 7 + 0.5) for label in CLASSES for number in range(12)]
    pl.DataFrame(rows, schema=["path", "light"], orient="row").write_csv(tmp_path / "all.csv")
    found = kept(
        tmp_path, objective=OPTIONS, data={"source": str(tmp_path / "all.csv"), "target": "light"}, space=SPACE
    )
    predictions = found.model.predictions(tmp_path / "all.csv")
    assert predictions.frame.columns == ["light"]
    assert 1 < predictions.frame["light"].to_numpy().mean() < 6
    assert predictions.scored == 24
    (tmp_path / "new.csv").write_text("pth,n\ndots/000.png,1\n")
    with pytest.raises(DataError, match=r"no column 'path'; did you mean 'pth'\?"):
        found.model.predict(tmp_path / "new.csv")


def arrays(count: int = 10, first: int = 0) -> tuple[NDArray[np.uint8], list[str]]:
    labels = [label for label in CLASSES for _ in range(count)]
    numbers = [*range(first, first + count)] * len(CLASSES)
    return np.stack([picture(*pair) for pair in zip(labels, numbers, strict=True)]), labels


def test_arrays_are_answered_as_the_trained_network_did(tmp_path: Path) -> None:
    pixels, labels = arrays(12)
    new, right = arrays(5, first=50)
    np.savez(tmp_path / "all.npz", x_train=pixels, y_train=labels, x_val=new, y_val=right)
    found = kept(tmp_path, objective=OPTIONS, data={"source": str(tmp_path / "all.npz")}, space=SPACE)
    wanted = [CLASSES[number] for number in found.outputs().argmax(-1).tolist()]
    np.savez(tmp_path / "new.npz", X=new, y=right)
    np.save(tmp_path / "new.npy", new.transpose(0, 3, 1, 2))
    predictions = found.model.predictions(tmp_path / "new.npz")
    assert predictions.frame["y"].to_list() == wanted
    assert predictions.scores["accuracy"] == pytest.approx(found.rebuilt.scores["accuracy"])
    assert found.model.predict(tmp_path / "new.npy")["y"].to_list() == wanted
    assert found.model.predict(new)["y"].to_list() == wanted
    strange = new.astype(np.float64)
    strange[3, 0, 0, 0] = np.nan
    assert [answer is None for answer in found.model.predict(strange)["y"]].index(True) == 3
    assert np.isnan(strange[3, 0, 0, 0])  # what a person holds is left alone


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: arrays()[0] / 255, "no number is above 1, and the network learned from numbers up to"),
        (lambda: arrays()[0][..., 0], "channels of an image: 1; the network learned from 3"),
        (lambda: np.zeros((4, 7)), r"is an array \[4, 7\]; images are N"),
        (lambda: np.zeros((0, 8, 8, 3)), r"is an array \[0, 8, 8, 3\]; images are"),
        (lambda: pl.DataFrame({"age": [1, 2]}), "the network learned from images; give a folder of them"),
        (lambda: Path("nowhere"), "nowhere: no such folder or file"),
    ],
)
def test_what_are_no_images_of_the_models_kind_is_refused(photos: tuple[Kept, Path], make, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=says):
        photos[0].model.predict(make())


def test_files_are_refused_where_the_network_learned_from_darker_arrays(tmp_path: Path) -> None:
    found = kept(tmp_path, objective=OPTIONS, data={"source": "digits"}, space=SPACE, training={"epochs": 1})
    class_folders(tmp_path / "new", count=1)
    with pytest.raises(DataError, match="learned from arrays of no more than 16; give arrays like those"):
        found.model.predict(tmp_path / "new")


@pytest.mark.parametrize("channels", [2, 4])
def test_files_are_refused_where_the_network_learned_from_other_channels(channels: int, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 8, channels)).astype(np.uint8)
    np.savez(tmp_path / "all.npz", X=images, y=np.arange(24) % 2)
    data = {"source": str(tmp_path / "all.npz"), "layout": "NHWC"}
    found = kept(tmp_path, objective=OPTIONS, data=data, space=SPACE, training={"epochs": 1})
    class_folders(tmp_path / "new", count=1)
    with pytest.raises(DataError, match=f"learned from arrays of {channels} channels; give arrays like those"):
        found.model.predict(tmp_path / "new")
    assert found.model.predict(images).height == 24


def test_files_of_dark_images_are_answered_where_the_network_learned_from_such_files(tmp_path: Path) -> None:
    for label in CLASSES:
        (tmp_path / "dark" / label).mkdir(parents=True)
        for number in range(6):
            Pillow.fromarray(picture(label, number) // 3).save(tmp_path / "dark" / label / f"{number}.png")
    data = {"source": str(tmp_path / "dark")}
    found = kept(tmp_path, objective=OPTIONS, data=data, space=SPACE, training={"epochs": 1})
    assert found.model.predictions(tmp_path / "dark").scored == 12


def test_models_that_do_not_say_whether_they_learned_from_files_are_read(tmp_path: Path) -> None:
    images = make_images(source="digits")
    images.load()
    state = images.images.to_json()
    assert state.pop("from_files") is False
    assert PreparedImages.from_json(state).from_files is False
    assert PreparedImages.from_json(state | {"column": "path"}).from_files is True


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (
            "data.size=3",
            r"data\.size = 3: the network sees images of 12 × 12, and makes new ones so; leave it out",
        ),
        ("data.channels=grey", r"data\.channels = 'grey': the network sees images of 3 channels"),
    ],
)
def test_what_the_network_fixes_cannot_be_said_of_new_images(
    photos: tuple[Kept, Path], setting: str, says: str
) -> None:
    found, folder = photos
    with pytest.raises(UsageError, match=says):
        load_model(str(found.place), settings=[setting]).predict(folder / "all" / "validation")
    same = load_model(str(found.place), settings=["data.size=12", "data.channels=colour", "data.fit=pad"])
    assert same.predictions(folder / "all" / "validation").scored == 10


def test_the_column_of_paths_may_be_said_of_a_new_table(photos: tuple[Kept, Path], tmp_path: Path) -> None:
    found, folder = photos
    path = folder / "all" / "validation" / "dots" / "050.png"
    pl.DataFrame({"before": ["gone.png"], "after": [str(path)]}).write_csv(tmp_path / "new.csv")
    model = load_model(str(found.place), settings=["data.image_column=after"])
    assert model.predict(tmp_path / "new.csv")["class"].to_list() == found.model.predict(path)["class"].to_list()


def test_an_empty_folder_is_refused(photos: tuple[Kept, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        photos[0].model.predict(tmp_path)
