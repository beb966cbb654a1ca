"""What a person gets wrong about images at ``tuner start``: exit code 2, one clear line, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as Pillow

from tests.objectives.images.kit import class_folders
from tuner.cli.group import cli

PHOTOS = ["--data", "photos"]
ARRAYS = ["--data", "arrays.npz"]


def photos(folder: Path) -> None:
    class_folders(folder / "photos", count=6)


def one_class(folder: Path) -> None:
    photos(folder)
    (folder / "photos" / "dots").rename(folder / "dots")


def no_class_folders(folder: Path) -> None:
    class_folders(folder, count=6)
    (folder / "dots").rename(folder / "photos")


def empty_folder(folder: Path) -> None:
    (folder / "photos").mkdir()


def folders_without_images(folder: Path) -> None:
    for name in ("cats", "dogs"):
        (folder / "photos" / name).mkdir(parents=True)
        (folder / "photos" / name / "notes.pdf").write_text("no image")


def mostly_corrupt(folder: Path) -> None:
    photos(folder)
    for path in (folder / "photos" / "dots").iterdir():
        path.write_bytes(path.read_bytes()[:40])
    (folder / "photos" / "stripes" / "000.png").write_bytes(b"")


def bomb(folder: Path) -> None:
    photos(folder)
    Pillow.new("1", (30_000, 30_000)).save(folder / "photos" / "dots" / "bomb.png")


def strange_test_class(folder: Path) -> None:
    class_folders(folder / "photos" / "train", count=6)
    class_folders(folder / "photos" / "test", count=2)
    (folder / "photos" / "test" / "dots").rename(folder / "photos" / "test" / "waves")


def arrays(**named: tuple[int, ...]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        made = {name: np.arange(np.prod(shape)).reshape(shape) % 200 for name, shape in named.items()}
        np.savez(folder / "arrays.npz", **made)  # type: ignore[arg-type]

    return write


def one_image(folder: Path) -> None:
    Pillow.new("L", (8, 8)).save(folder / "photo.png")


CASES = [
    # what the folder holds, the arguments, what the line names
    pytest.param(one_class, PHOTOS, "one class only, 'stripes'", id="one class"),
    pytest.param(no_class_folders, PHOTOS, "holds 6 images, but no class folders", id="no class folders"),
    pytest.param(empty_folder, [*PHOTOS, "-Sobjective.name=image"], "hold no image", id="empty folder"),
    pytest.param(folders_without_images, [*PHOTOS, "-Sobjective.name=image"], ".pdf", id="folders without images"),
    pytest.param(mostly_corrupt, PHOTOS, "7 of 12 images cannot be read: dots/000.png", id="mostly corrupt"),
    pytest.param(
        bomb, PHOTOS, "bomb.png: claims more than 100 million pixels, which are not read", id="decompression bomb"
    ),
    pytest.param(strange_test_class, PHOTOS, "classes that training lacks: 'waves'", id="class of the test part only"),
    pytest.param(photos, [*PHOTOS, "-Sdata.size=0"], "from 1 to 2048 pixels", id="no size"),
    pytest.param(photos, [*PHOTOS, "-Sdata.size=1000000"], "from 1 to 2048 pixels", id="absurd size"),
    pytest.param(photos, [*PHOTOS, "-Sdata.fit=squeeze"], "fit = 'squeeze'", id="unknown fit"),
    pytest.param(photos, [*PHOTOS, "--target", "label"], "leave target out", id="a target of folders"),
    pytest.param(photos, [*PHOTOS, "-Sobjective.metric=rmse"], "'rmse' is for regression", id="wrong metric"),
    pytest.param(photos, [*PHOTOS, "-Sspace.kernel=4"], "kernel = 4", id="even kernel"),
    pytest.param(photos, [*PHOTOS, "-Sspace.rotation=0..400"], "greatest legal value 180", id="too much rotation"),
    pytest.param(photos, ["--data", "fotos"], "fotos: no such file", id="absent folder"),
    pytest.param(
        photos, ["--data", "fotos", "-Sobjective.name=image"], "fotos: no such folder or file", id="absent images"
    ),
    pytest.param(one_image, ["--data", "photo.png", "-Sobjective.name=image"], "is one image", id="one image"),
    pytest.param(arrays(X=(30, 4, 4, 3)), ARRAYS, "which array holds the labels", id="no labels"),
    pytest.param(arrays(X=(30, 4, 4, 3), y=(29,)), ARRAYS, "they must agree", id="too few labels"),
    pytest.param(arrays(X=(30, 4, 4, 3), y=(30,)), [*ARRAYS, "--target", "z"], "no array 'z'", id="absent labels"),
    pytest.param(arrays(X=(30, 3, 3, 3), y=(30,)), ARRAYS, "layout = 'NHWC' or 'NCHW'", id="ambiguous axes"),
]


@pytest.mark.parametrize(("prepare", "arguments", "named"), CASES)
def test_bad_images_are_one_clear_line_and_nothing_is_written(
    prepare: Callable[[Path], None],
    arguments: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUNER_STORAGE", raising=False)
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    prepare(tmp_path)
    before = set(tmp_path.rglob("*"))
    result = CliRunner().invoke(cli, ["check", *arguments], prog_name="tuner")
    assert result.exit_code == 2, result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert named in errors[0]
    assert len(result.stderr.splitlines()) == 1
    assert set(tmp_path.rglob("*")) == before
