"""Tables of paths and labels: classes and numbers, parts, and paths that lead nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.objectives.images.kit import class_folders, make_images, picture
from tuner.errors import DataError


@pytest.fixture
def table(tmp_path: Path) -> pl.DataFrame:
    """Twenty images below ``photos``, by their paths, with a label, a number and a part."""
    folder = class_folders(tmp_path / "photos")
    paths = sorted(folder.rglob("*.png"))
    numbers = [float(picture(path.parent.name, int(path.stem)).mean()) for path in paths]
    return pl.DataFrame(
        {
            "file": [str(path.relative_to(tmp_path)) for path in paths],
            "label": [path.parent.name for path in paths],
            "light": numbers,
            "part": (["train"] * 6 + ["val", "val", "test", "test"]) * 2,
        }
    )


def written(frame: pl.DataFrame, folder: Path, kind: str) -> str:
    path = folder / f"labels.{kind}"
    if kind == "csv":
        frame.write_csv(path)
    elif kind == "tsv":
        frame.write_csv(path, separator="\t")
    elif kind == "parquet":
        frame.write_parquet(path)
    else:
        frame.write_ndjson(path)
    return str(path)


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "jsonl"])
def test_a_table_of_paths_and_labels_is_read_whatever_its_format(
    table: pl.DataFrame, tmp_path: Path, kind: str
) -> None:
    images = make_images(source=written(table, tmp_path, kind), target="label")
    assert images.load().training.inputs[0].shape == (12, 3, 12, 12)
    assert images.target.classes == ("dots", "stripes")


def test_a_number_makes_a_regression_in_its_own_units(table: pl.DataFrame, tmp_path: Path) -> None:
    images = make_images(source=written(table, tmp_path, "csv"), target="light")
    part = images.load().training
    assert images.metric_names() == ["rmse"]
    light = part.inputs[0].double().mean((1, 2, 3))
    assert images.decode(part.targets)[:, 0].tolist() == pytest.approx(light.tolist())


def test_a_column_says_what_is_for_what(table: pl.DataFrame, tmp_path: Path) -> None:
    images = make_images(source=written(table, tmp_path, "csv"), target="label", split_column="part")
    images.load()
    assert images.describe()["rows"] == {"training": 12, "validation": 4, "test": 4}


def test_files_say_what_is_for_what(table: pl.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    test = table.filter(pl.col("part") == "test").with_columns(file=pl.lit("../") + pl.col("file"))
    images = make_images(
        source=written(table.filter(pl.col("part") != "test"), tmp_path, "csv"),
        target="label",
        test_file=written(test, tmp_path / "test", "csv"),
    )
    images.load()
    assert images.describe()["rows"] == {"training": 13, "validation": 3, "test": 4}


def test_paths_may_start_elsewhere(table: pl.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    source = written(table, tmp_path / "tables", "csv")
    with pytest.raises(DataError, match=r"none of 20 images can be read: .*no such file"):
        make_images(source=source, target="label").load()
    make_images(source=source, target="label", image_folder=str(tmp_path)).load()


def test_paths_that_lead_nowhere_are_named_and_skipped(table: pl.DataFrame, tmp_path: Path) -> None:
    lost = table.with_columns(pl.when(pl.arange(0, 20) == 3).then(pl.lit("lost.png")).otherwise("file").alias("file"))
    images = make_images(source=written(lost, tmp_path, "csv"), target="label")
    images.load()
    assert "1 of 20 images cannot be read: lost.png (no such file); it is skipped" in images.describe()["notes"]


@pytest.mark.parametrize(
    ("change", "data", "said"),
    [
        (lambda t: t.drop("file"), {}, "no column holds paths of images; write image_column"),
        (lambda t: t.with_columns(mask="file"), {}, "columns 'file', 'mask' hold paths of images"),
        (lambda t: t, {"image_column": "fil"}, r"no column \(image_column\) 'fil'; did you mean 'file'"),
        (lambda t: t, {"target": "lable"}, "did you mean 'label'"),
        (lambda t: t.with_columns(label=pl.lit("dots")), {}, "one class only, 'dots'"),
    ],
)
def test_a_table_that_says_too_little_is_refused(
    table: pl.DataFrame, tmp_path: Path, change: Any, data: dict[str, Any], said: str
) -> None:
    source = written(change(table), tmp_path, "csv")
    with pytest.raises(DataError, match=said):
        make_images(**{"target": "label", **data}, source=source).load()
