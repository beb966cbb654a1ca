"""Folders of class folders: what is found, what is split, how each kind of file is read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from tests.objectives.images.kit import class_folders, make_images, picture
from tuner.errors import DataError, UsageError


def test_class_folders_are_split_with_each_class_in_every_part(tmp_path: Path) -> None:
    images = make_images(source=str(class_folders(tmp_path / "photos")))
    data = images.load()
    assert data.test is not None
    assert data.training.inputs[0].shape == (12, 3, 12, 12)
    assert data.training.inputs[0].dtype == torch.uint8
    told = images.describe()
    assert told["target"]["classes"]["training"] == {"dots": 6, "stripes": 6}
    assert told["target"]["classes"]["test"] == {"dots": 2, "stripes": 2}
    assert told["images"] == {"height": 12, "width": 12, "channels": 3, "unreadable": 0}


def test_pixels_and_labels_belong_together(tmp_path: Path) -> None:
    images = make_images(source=str(class_folders(tmp_path / "photos")))
    part = images.load().training
    for pixels, label in zip(part.inputs[0], part.targets.tolist(), strict=True):
        name = images.target.classes[label]
        assert any(np.array_equal(pixels.permute(1, 2, 0), picture(name, number)) for number in range(10))


def test_folders_for_parts_say_what_is_for_what(tmp_path: Path) -> None:
    for part, first, count in (("train", 0, 6), ("val", 10, 3), ("test", 20, 2)):
        class_folders(tmp_path / "photos" / part, first=first, count=count)
    images = make_images(source=str(tmp_path / "photos"))
    images.load()
    assert images.describe()["rows"] == {"training": 12, "validation": 6, "test": 4}


def test_without_a_folder_for_validation_it_is_drawn_from_training(tmp_path: Path) -> None:
    class_folders(tmp_path / "photos" / "Train", count=10)
    class_folders(tmp_path / "photos" / "Test", first=20, count=3)
    images = make_images(source=str(tmp_path / "photos"))
    images.load()
    assert images.describe()["rows"] == {"training": 16, "validation": 4, "test": 6}


def test_folders_of_numbers_are_classes(tmp_path: Path) -> None:
    class_folders(tmp_path / "photos", count=8)
    (tmp_path / "photos" / "dots").rename(tmp_path / "photos" / "1.5")
    (tmp_path / "photos" / "stripes").rename(tmp_path / "photos" / "12")
    images = make_images(source=str(tmp_path / "photos"))
    images.load()
    assert images.target.task == "classification"
    assert images.target.classes == ("1.5", "12")


@pytest.mark.parametrize("mode", ["L", "1", "LA", "I;16"])
def test_grey_images_have_one_channel(tmp_path: Path, mode: str) -> None:
    (tmp_path / "photos").mkdir()
    for label in ("a", "b"):
        (tmp_path / "photos" / label).mkdir()
        for number in range(5):
            grey = Pillow.fromarray(picture("dots", number)).convert("L")
            values = np.asarray(grey)
            image = Pillow.fromarray(values.astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
            image.save(tmp_path / "photos" / label / f"{number}.png")
    inputs = make_images(source=str(tmp_path / "photos")).load().training.inputs[0]
    assert inputs.shape == (6, 1, 12, 12)
    assert inputs.dtype == (torch.float32 if mode == "I;16" else torch.uint8)
    assert 200 < float(inputs.max()) <= 255
    if mode == "I;16":
        assert any(
            np.allclose(inputs[0, 0], np.asarray(Pillow.fromarray(picture("dots", n)).convert("L"))) for n in range(5)
        )


def test_a_palette_of_greys_is_grey(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "scans", count=5, mode="L", suffix=".gif")
    inputs = make_images(source=str(folder)).load().training.inputs[0]
    assert inputs.shape == (6, 1, 12, 12)
    coloured = class_folders(tmp_path / "photos", count=5, suffix=".gif")
    assert make_images(source=str(coloured)).load().training.inputs[0].shape == (6, 3, 12, 12)


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK"])
def test_coloured_images_of_any_kind_have_three_channels(tmp_path: Path, mode: str) -> None:
    folder = class_folders(tmp_path / "photos", count=5, mode=mode, suffix=".tif" if mode == "CMYK" else ".png")
    assert make_images(source=str(folder)).load().training.inputs[0].shape == (6, 3, 12, 12)


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "photos", count=5)
    for path in folder.rglob("*.png"):
        Pillow.new("RGBA", (12, 12), (200, 0, 0, 0)).save(path)
    assert (make_images(source=str(folder)).load().training.inputs[0] == 255).all()


def test_a_turned_photo_is_turned_upright(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "photos", count=5)
    for path in folder.rglob("*.png"):
        tall = Pillow.new("RGB", (6, 12))
        tall.putpixel((0, 0), (255, 255, 255))
        exif = tall.getexif()
        exif[0x0112] = 6  # lies on its left side
        tall.save(path, exif=exif)
    inputs = make_images(source=str(folder)).load().training.inputs[0]
    assert inputs.shape == (6, 3, 6, 12)
    assert (inputs[:, :, 0, -1] == 255).all()


def test_one_coloured_image_makes_all_coloured_unless_told_otherwise(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "photos", count=5, mode="L")
    Pillow.fromarray(picture("dots", 0)).save(folder / "dots" / "000.png")
    assert make_images(source=str(folder)).load().training.inputs[0].shape[1] == 3
    assert make_images(source=str(folder), channels="grey").load().training.inputs[0].shape[1] == 1


def test_images_of_different_sizes_become_those_of_the_middle_one(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "photos", count=5)
    for side, path in zip((8, 10, 14, 30), sorted(folder.rglob("*.png")), strict=False):
        Pillow.fromarray(picture("dots", 0, side=side)).save(path)
    images = make_images(source=str(folder))
    assert images.load().training.inputs[0].shape[2:] == (12, 12)
    assert any(
        "different sizes (typically 12 × 12) are resized to 12 × 12" in note for note in images.describe()["notes"]
    )


def test_large_images_are_made_small_and_this_is_said(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "photos", count=5, side=100)
    images = make_images(source=str(folder))
    assert images.load().training.inputs[0].shape[2:] == (64, 64)
    assert any("100 × 100 are resized to 64 × 64; say otherwise with size" in n for n in images.describe()["notes"])
    assert make_images(source=str(folder), size=[20, 10]).load().training.inputs[0].shape[2:] == (20, 10)


@pytest.mark.parametrize(("fit", "corner"), [("stretch", 200), ("crop", 200), ("pad", 0)])
def test_an_image_of_another_shape_is_made_to_fit(tmp_path: Path, fit: str, corner: int) -> None:
    folder = class_folders(tmp_path / "photos", count=5)
    for path in folder.rglob("*.png"):
        Pillow.new("RGB", (20, 10), (200, 200, 200)).save(path)
    inputs = make_images(source=str(folder), size=8, fit=fit).load().training.inputs[0]
    assert inputs.shape[2:] == (8, 8)
    assert int(inputs[0, 0, 0, 0]) == corner
    assert int(inputs[0, 0, 4, 4]) == 200


def test_statistics_are_those_of_the_training_part(tmp_path: Path) -> None:
    images = make_images(source=str(class_folders(tmp_path / "photos")))
    pixels = images.load().training.inputs[0].double()
    assert images.images.means == pytest.approx(pixels.mean((0, 2, 3)).tolist())
    assert images.images.deviations == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist())


def test_images_that_cannot_be_read_are_named_counted_and_skipped(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "photos")
    (folder / "dots" / "000.png").write_bytes(b"no image at all")
    whole = (folder / "stripes" / "003.png").read_bytes()
    (folder / "stripes" / "003.png").write_bytes(whole[: len(whole) // 2])
    (folder / "stripes" / "004.png").write_bytes(b"")
    images = make_images(source=str(folder))
    images.load()
    (note,) = (note for note in images.describe()["notes"] if "cannot be read" in note)
    assert note.startswith("3 of 20 images cannot be read: dots/000.png (is no image), stripes/003.png (")
    assert note.endswith("stripes/004.png (is empty); they are skipped")
    assert sum(images.describe()["rows"].values()) == 17
    assert images.describe()["images"]["unreadable"] == 3


def test_what_lies_about_is_told(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "photos")
    (folder / "nothing here").mkdir()
    (folder / "dots" / "notes.txt").write_text("mine")
    (folder / "dots" / ".DS_Store").write_text("hidden")
    Pillow.fromarray(picture("dots", 0)).save(folder / "cover.png")
    images = make_images(source=str(folder))
    images.load()
    assert images.target.classes == ("dots", "stripes")
    notes = "\n".join(images.describe()["notes"])
    assert "no image is in 'nothing here'" in notes
    assert "1 file in class folders is no image: 'dots/notes.txt'" in notes
    assert "1 image outside class folders not used" in notes
    assert "DS_Store" not in notes


def test_images_that_repeat_are_told(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "photos")
    shutil.copy(folder / "dots" / "000.png", folder / "dots" / "copy.png")
    images = make_images(source=str(folder))
    images.load()
    assert any(note.startswith("1 image repeats an earlier one") for note in images.describe()["notes"])


def test_two_workers_see_the_same_images_and_another_seed_others(tmp_path: Path) -> None:
    folder = str(class_folders(tmp_path / "photos"))
    one, two, other = (make_images(source=folder, seed=seed).load() for seed in (3, 3, 4))
    assert torch.equal(one.training.inputs[0], two.training.inputs[0])
    assert not torch.equal(one.training.inputs[0], other.training.inputs[0])


def test_more_unreadable_images_than_not_are_refused(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "photos", count=4)
    for path in list(folder.rglob("*.png"))[:5]:
        path.write_bytes(b"x")
    with pytest.raises(DataError, match=r"5 of 8 images cannot be read: .*; mend or remove them"):
        make_images(source=str(folder)).load()


def test_a_decompression_bomb_is_refused_without_being_read(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "photos", count=4)
    Pillow.new("1", (40_000, 40_000)).save(folder / "dots" / "bomb.png")
    with pytest.raises(DataError, match=r"bomb.png: claims more than 100 million pixels"):
        make_images(source=str(folder)).load()


def test_more_pixels_than_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("objectives.images.reading.free_bytes", lambda _: 10_000)
    with pytest.raises(DataError, match=r"20 images of 64 × 64 × 3 need .* GiB of memory.*write a smaller size"):
        make_images(source=str(class_folders(tmp_path / "photos")), size=64).load()


def test_class_folders_are_no_regression(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="task = 'regression', but the names of folders are classes"):
        make_images({"task": "regression"}, source=str(class_folders(tmp_path / "photos"))).load()
