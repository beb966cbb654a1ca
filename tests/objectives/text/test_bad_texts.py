"""Texts that cannot be used are refused in one line, and folders and columns are found without being told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from objectives.text import Text
from objectives.text.options import TextData
from tests.objectives.text.texts_kit import make_text, reviews, write_reviews
from tuner.errors import DataError, SpecError
from tuner.loading import recognised
from tuner.sources import read_spec

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no source": ({"source": ""}, r"source is missing; name a file, a folder of class folders, or one of languages"),
    "no such file": ({"source": "absent.csv"}, r"absent\.csv: no such file"),
    "no such data set": ({"source": "language"}, "did you mean 'languages'"),
    "no target": ({"target": ""}, "which column is the target"),
    "no such column": ({"text": "reviw"}, r"no column \(text\) 'reviw'; did you mean 'review'"),
    "numbers named as text": ({"text": "stars"}, "column 'stars' holds numbers, not texts; choose another one"),
    "which column": ({"target": "sentiment", "text": ""}, "which column holds the texts.*'title', 'review'"),
}


def table() -> pl.DataFrame:
    return reviews(40).with_columns(title=pl.lit("A film of ") + pl.col("review"))


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused_in_one_clear_line(tmp_path: Path, what: str) -> None:
    path = tmp_path / "reviews.csv"
    table().select("title", "review", "stars", "sentiment").write_csv(path)
    data, says = BAD[what]
    with pytest.raises(DataError, match=says) as refused:
        make_text(**{"source": str(path), "target": "sentiment", "text": "review", **data}).load()
    assert "\n" not in str(refused.value)


def load(folder: Path, frame: pl.DataFrame, **data: Any) -> Text:
    frame.write_csv(folder / "texts.csv")
    text = make_text(**{"source": str(folder / "texts.csv"), "target": "sentiment", **data})
    text.load()
    return text


def test_a_table_without_texts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column beside the target holds texts \('stars' holds numbers\)"):
        load(tmp_path, reviews(40).drop("review"))


def test_a_column_of_nothing_is_refused(tmp_path: Path) -> None:
    frame = reviews(40).with_columns(review=pl.lit(None, dtype=pl.String))
    with pytest.raises(DataError, match="column 'review' holds nothing, not texts"):
        load(tmp_path, frame, text="review")


def test_texts_that_are_all_the_same_are_refused(tmp_path: Path) -> None:
    frame = reviews(40).with_columns(review=pl.lit("the same old story"))
    with pytest.raises(DataError, match="every text in 'review' that is trained on is the same"):
        load(tmp_path, frame, text="review")


def test_a_text_that_is_the_target_is_refused() -> None:
    with pytest.raises(SpecError, match="'review' is both the text and the target"):
        make_text(source="reviews.csv", target="review", text="review")


def with_gaps() -> pl.DataFrame:
    return reviews(60).with_columns(review=pl.when(pl.col("stars") > 4.6).then(None).otherwise("review"))


def test_rows_without_a_text_are_dropped_and_told_of(tmp_path: Path) -> None:
    frame = with_gaps()
    text = load(tmp_path, frame, text="review")
    missing = frame["review"].null_count()
    assert sum(map(len, text.texts.texts.values())) == 60 - missing
    assert f"texts.csv: 'review' holds no text in {missing} of 60 rows, which were dropped" in text.texts.notes


def test_rows_without_a_text_can_be_empty_or_refused(tmp_path: Path) -> None:
    text = load(tmp_path, with_gaps(), text="review", missing_text="empty")
    assert "" in [one for part in text.texts.texts.values() for one in part]
    with pytest.raises(DataError, match=r"holds no text in .* of 60 rows; mend them, or write missing_text"):
        load(tmp_path, with_gaps(), text="review", missing_text="refuse")


def write_folder(folder: Path, *, parts: bool = False) -> Path:
    frame = reviews(60)
    for number, (review, sentiment) in enumerate(zip(frame["review"], frame["sentiment"], strict=True)):
        part = ("test" if number % 5 == 0 else "train") if parts else ""
        path = folder / "films" / part / sentiment / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(review)
    return folder / "films"


def test_class_folders_need_no_target(tmp_path: Path) -> None:
    text = make_text(source=str(write_folder(tmp_path)))
    text.load()
    assert text.target.classes == ("bad", "good")
    assert {part: len(its) for part, its in text.texts.texts.items()} == {"training": 36, "validation": 12, "test": 12}


def test_folders_for_parts_are_kept_apart(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, parts=True)
    text = make_text(source=str(folder))
    text.load()
    tested = {path.read_text() for path in (folder / "test").rglob("*.txt")}
    assert set(text.texts.texts["test"]) == tested
    assert not tested & {*text.texts.texts["training"], *text.texts.texts["validation"]}


def test_odd_files_are_told_of(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / "good" / "zz.txt").write_bytes("Größe".encode("cp1252"))
    (folder / "good" / "zzz.txt").write_bytes(b"\x00\x01\x02")
    (folder / "good" / ".hidden.txt").write_text("never read")
    text = make_text(source=str(folder))
    text.load()
    assert "Größe" in [one for part in text.texts.texts.values() for one in part]
    assert any("'zz.txt' is not UTF-8" in note for note in text.texts.notes)
    assert any("'zzz.txt' is no text, and left out" in note for note in text.texts.notes)
    assert sum(map(len, text.texts.texts.values())) == 61


def test_a_folder_without_texts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match=r"empty: holds no class folders of \.text or \.txt files"):
        make_text(source=str(tmp_path / "empty")).load()
    with pytest.raises(DataError, match="target = 'sentiment', but class folders have no columns"):
        make_text(source=str(write_folder(tmp_path)), target="sentiment").load()


def test_what_is_plainly_text_is_recognised(tmp_path: Path) -> None:
    assert recognised(str(write_folder(tmp_path))) == "text"
    assert recognised(str(write_folder(tmp_path / "parts", parts=True))) == "text"
    for name in ("two.csv", "two.jsonl", "two.parquet"):
        frame = reviews(2000).select("review", "sentiment")
        path = tmp_path / name
        if path.suffix == ".csv":
            frame.write_csv(path)
        elif path.suffix == ".jsonl":
            frame.write_ndjson(path)
        else:
            frame.write_parquet(path)
        assert recognised(str(path)) == "text"


def test_tables_stay_tables(tmp_path: Path) -> None:
    assert recognised(write_reviews(tmp_path)) == "table"  # three columns
    reviews(60).select("stars", "sentiment").write_csv(tmp_path / "two.csv")
    assert recognised(str(tmp_path / "two.csv")) == "table"
    (tmp_path / "bad.csv").write_bytes(b"\x00\x01")
    assert recognised(str(tmp_path / "bad.csv")) == "table"
    (tmp_path / "images" / "a").mkdir(parents=True)
    (tmp_path / "images" / "a" / "one.dat").write_bytes(b"x")
    assert recognised(str(tmp_path / "images")) != "text"


def test_a_spec_of_plain_text_needs_no_objective(tmp_path: Path) -> None:
    spec, _ = read_spec(None, data=str(write_folder(tmp_path)))
    assert spec.objective["name"] == "text"
    assert spec.name == "films"
    assert TextData(**spec.data).source.endswith("films")
