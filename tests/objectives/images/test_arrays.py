"""Arrays of images: their axes, their labels, and files that hold parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from objectives.images.arrays import channels_first
from tests.objectives.images.kit import make_images
from tuner.errors import DataError

LABELS = np.array(["cat", "dog"] * 15)


def pixels(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def saved(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "arrays.npz", **arrays)
    return str(folder / "arrays.npz")


@pytest.mark.parametrize(
    ("shape", "channels", "sides"),
    [
        ((10, 4, 4, 3), 3, (4, 4)),
        ((10, 3, 4, 4), 3, (4, 4)),
        ((10, 8, 8), 1, (8, 8)),
        ((10, 28, 28, 1), 1, (28, 28)),
        ((10, 1, 28, 28), 1, (28, 28)),
        ((10, 32, 48, 3), 3, (32, 48)),
        ((10, 3, 32, 48), 3, (32, 48)),
        ((10, 16, 16, 4), 4, (16, 16)),
        ((10, 64, 64, 13), 13, (64, 64)),
        ((10, 13, 64, 64), 13, (64, 64)),
    ],
)
def test_axes_are_told_by_their_lengths(shape: tuple[int, ...], channels: int, sides: tuple[int, int]) -> None:
    images = channels_first(pixels(*shape), "auto", where="a.npz")
    assert images.shape == (10, channels, *sides)


@pytest.mark.parametrize("shape", [(10, 3, 3, 3), (10, 20, 30, 40), (10, 3, 32, 3)])
def test_axes_that_can_be_read_in_two_ways_must_be_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"counts the channels.*layout = 'NHWC' or 'NCHW'"):
        channels_first(pixels(*shape), "auto", where="a.npz")
    assert channels_first(pixels(*shape), "NHWC", where="a.npz").shape == (10, shape[3], shape[1], shape[2])
    assert channels_first(pixels(*shape), "NCHW", where="a.npz").shape == shape


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pixels(3, 4, 4), np.uint8),
        (pixels(3, 4, 4).astype(np.int64), np.uint8),
        (pixels(3, 4, 4).astype(np.float64), np.uint8),
        (pixels(3, 4, 4) > 9, np.uint8),
        (pixels(3, 4, 4) / 255, np.float32),
        (pixels(3, 4, 4).astype(np.int64) * 100, np.float32),
        (pixels(3, 4, 4).astype(np.float64) - 1, np.float32),
    ],
)
def test_whole_numbers_up_to_255_take_one_byte_each(values: Any, kind: type) -> None:
    images = channels_first(values, "auto", where="a.npz")
    assert images.dtype == kind
    np.testing.assert_allclose(images[:, 0], values)


def test_an_npz_file_needs_no_more_than_its_target(tmp_path: Path) -> None:
    images = make_images(source=saved(tmp_path, images=pixels(30, 4, 4, 3), label=LABELS), target="label")
    data = images.load()
    assert data.training.inputs[0].shape == (18, 3, 4, 4)
    assert images.describe()["rows"] == {"training": 18, "validation": 6, "test": 6}
    assert images.target.classes == ("cat", "dog")


@pytest.mark.parametrize("name", ["y", "labels", "Target", "class"])
def test_the_target_of_an_npz_file_has_a_usual_name(tmp_path: Path, name: str) -> None:
    images = make_images(source=saved(tmp_path, X=pixels(30, 4, 4), other=np.arange(30), **{name: LABELS}))
    images.load()
    assert images.target.columns == (name,)


def test_the_label_of_each_image_is_its_own(tmp_path: Path) -> None:
    x = pixels(30, 4, 4)
    part = make_images(source=saved(tmp_path, x=x, y=LABELS)).load().training
    where = {image.tobytes(): label for image, label in zip(x, LABELS, strict=True)}
    assert [where[image.numpy().tobytes()] for image in part.inputs[0]] == [["cat", "dog"][i] for i in part.targets]


def test_arrays_of_parts_are_parts(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {}
    for part, count in (("train", 20), ("test", 10)):
        arrays |= {f"x_{part}": pixels(count, 6, 6), f"y_{part}": np.arange(count) % 2}
    images = make_images(source=saved(tmp_path, **arrays))
    images.load()
    assert images.describe()["rows"] == {"training": 16, "validation": 4, "test": 10}
    medical = {
        f"{part}_{what}": arrays[f"{xy}_{part}"]
        for part in ("train", "test")
        for what, xy in (("images", "x"), ("labels", "y"))
    }
    again = make_images(source=saved(tmp_path, **medical))
    again.load()
    assert again.describe()["rows"] == images.describe()["rows"]


def test_arrays_of_parts_have_the_names_that_folders_of_parts_have(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {}
    for part, count in (("training", 20), ("dev", 8), ("holdout", 6)):
        arrays |= {f"X_{part}": pixels(count, 6, 6), f"y_{part}": np.arange(count) % 2}
    images = make_images(source=saved(tmp_path, **arrays))
    images.load()
    assert images.describe()["rows"] == {"training": 20, "validation": 8, "test": 6}


def test_one_hot_labels_are_the_classes_they_stand_for(tmp_path: Path) -> None:
    images = make_images(source=saved(tmp_path, x=pixels(30, 4, 4), y=np.eye(3)[np.arange(30) % 3]))
    images.load()
    assert images.target.classes == ("0", "1", "2")


def test_several_numbers_for_each_image_are_a_regression(tmp_path: Path) -> None:
    x = pixels(30, 4, 4, 3)
    images = make_images(source=saved(tmp_path, x=x, y=np.stack([x.mean((1, 2, 3)), x.std((1, 2, 3))], 1)))
    assert images.load().training.targets.shape == (18, 2)
    assert images.target.columns == ("y 0", "y 1")
    assert images.metric_names() == ["rmse"]


def test_an_npy_file_takes_its_labels_from_the_file_beside_it(tmp_path: Path) -> None:
    np.save(tmp_path / "photos.npy", pixels(30, 4, 4))
    np.save(tmp_path / "photos_labels.npy", LABELS)
    images = make_images(source=str(tmp_path / "photos.npy"))
    images.load()
    assert images.target.classes == ("cat", "dog")
    named = make_images(source=str(tmp_path / "photos.npy"), target="photos_labels.npy")
    named.load()
    assert named.describe()["target"] == images.describe()["target"]


def test_images_that_hold_nan_are_skipped(tmp_path: Path) -> None:
    x = pixels(30, 4, 4) / 255
    x[7] = np.nan
    images = make_images(source=saved(tmp_path, x=x, y=LABELS))
    data = images.load()
    assert all(part.inputs[0].isfinite().all() for part in (data.training, data.validation))
    assert any(
        "1 of 30 images cannot be read: image 7 (holds values that are not finite); it is skipped" in note
        for note in images.describe()["notes"]
    )


def test_arrays_are_resized_when_asked(tmp_path: Path) -> None:
    flat = np.full((30, 10, 10, 3), 77, np.uint8)
    flat[:, 5:] = 78
    inputs = make_images(source=saved(tmp_path, x=flat, y=LABELS), size=[4, 6]).load().training.inputs[0]
    assert inputs.shape[1:] == (3, 4, 6)
    assert inputs.dtype == torch.uint8
    assert (inputs[:, :, 0] == 77).all()


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": pixels(30, 4, 4), "y": LABELS[:9]}, r"'x' has 30 images and 'y' is \[9\]; they must agree"),
        ({"x": pixels(30, 4, 4)}, "which array holds the labels"),
        ({"x": pixels(30, 16), "y": LABELS}, r"no array has the axes of images.*'x' \[30, 16\]"),
        ({"a": pixels(30, 4, 4), "b": pixels(30, 4, 4), "y": LABELS}, "several arrays may be the images: 'a', 'b'"),
        ({"x": pixels(0, 4, 4), "y": LABELS[:0]}, "holds no image"),
        ({"x": pixels(30, 4, 4), "y": np.zeros(30)}, "one class only"),
        ({"x": np.full((30, 4, 4), "a"), "y": LABELS}, "save numbers"),
        ({"x_test": pixels(30, 4, 4), "y_test": LABELS}, "no array is for training"),
        ({"x": np.full((30, 4, 4), np.nan), "y": LABELS}, "30 of 30 images cannot be read"),
        ({"x": np.array([object()] * 30), "y": LABELS}, "Python objects, which are never loaded"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused_with_the_reason(tmp_path: Path, arrays: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        make_images(source=saved(tmp_path, **arrays)).load()


@pytest.mark.parametrize(
    ("file", "said"), [("arrays.npz", "is no NPZ file"), ("arrays.npy", "is no NPY file"), ("y.npy", "is no NPY file")]
)
def test_what_is_no_numpy_file_by_its_first_bytes_is_told_so(tmp_path: Path, file: str, said: str) -> None:
    for name in ("arrays.npy", "y.npy"):
        np.save(tmp_path / name, pixels(30, 4, 4) if name == "arrays.npy" else LABELS)
    (tmp_path / file).write_bytes(b"\x07\xf3" * 1500)
    with pytest.raises(DataError, match=f"^{file}: {said}; save "):
        make_images(source=str(tmp_path / ("arrays.npy" if file == "y.npy" else file))).load()
