"""One table reads the same from every format."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from objectives.tables.delimited import ReadOptions
from objectives.tables.reading import read_table
from tests.objectives.tables_kit import churn, make_table, write
from tuner.errors import DataError

TEXT = "name;größe;plan\nJosé;1,5;a\nZoë;2,5;b\n"


def savez_columns(frame: pl.DataFrame, path: Path) -> None:
    arrays: dict[str, Any] = {
        series.name: series.to_numpy().astype(str if series.dtype == pl.String else float) for series in frame
    }
    np.savez(path, **arrays)


WRITERS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    "t.csv": lambda frame, path: frame.write_csv(path),
    "t.csv.gz": lambda frame, path: path.write_bytes(gzip.compress(frame.write_csv().encode())),
    "t.txt": lambda frame, path: frame.write_csv(path, separator="|"),
    "t.tsv": lambda frame, path: frame.write_csv(path, separator="\t"),
    "semicolons.csv": lambda frame, path: frame.write_csv(path, separator=";", decimal_comma=True),
    "quoted.csv": lambda frame, path: frame.write_csv(path, quote_style="always"),
    "windows.csv": lambda frame, path: path.write_bytes(frame.write_csv().replace("\n", "\r\n").encode()),
    "old_mac.csv": lambda frame, path: path.write_bytes(frame.write_csv().replace("\n", "\r").encode()),
    "t.parquet": lambda frame, path: frame.write_parquet(path),
    "t.jsonl": lambda frame, path: frame.write_ndjson(path),
    "t.json": lambda frame, path: frame.write_json(path),
    "columns.npz": savez_columns,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_table_is_prepared_alike_from_every_format(name: str, tmp_path: Path) -> None:
    frame = churn()
    WRITERS[name](frame, tmp_path / name)
    frame.write_parquet(tmp_path / "plain.parquet")
    read = make_table(source=str(tmp_path / name), target="churned").load()
    plain = make_table(source=str(tmp_path / "plain.parquet"), target="churned").load()
    np.testing.assert_allclose(read.training.inputs[0], plain.training.inputs[0], atol=1e-6)
    assert read.validation.targets.tolist() == plain.validation.targets.tolist()


def test_npz_arrays_x_and_y_become_columns(tmp_path: Path) -> None:
    inputs = np.random.default_rng(0).normal(size=(50, 2, 3))
    np.savez(tmp_path / "t.npz", X=inputs, y=np.arange(50) % 2)
    table = make_table(source=str(tmp_path / "t.npz"), target="y")
    assert table.load().training.inputs[0].shape == (30, 6)
    np.savez(tmp_path / "two.npz", X=inputs, y=inputs[:, 0, :2])
    table = make_table(source=str(tmp_path / "two.npz"), target=["y0", "y1"])
    assert table.load().validation.targets.shape == (10, 2)


@pytest.mark.parametrize(("encoding", "noted"), [("utf-8", 0), ("utf-8-sig", 0), ("utf-16", 0), ("cp1252", 1)])
def test_the_encoding_is_found_out_and_a_guess_is_noted(encoding: str, noted: int, tmp_path: Path) -> None:
    frame, notes = read_table(write(tmp_path, "t.csv", TEXT.encode(encoding)), ReadOptions())
    assert frame.columns == ["name", "größe", "plan"]
    assert frame["name"].to_list() == ["José", "Zoë"]
    assert len(notes) == noted


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16"])
def test_the_mark_at_the_beginning_is_no_part_of_the_first_name(encoding: str, tmp_path: Path) -> None:
    marked = ("" if encoding == "utf-16" else "\ufeff") + TEXT
    path = write(tmp_path, "t.csv", marked.encode(encoding))
    assert read_table(path, ReadOptions(encoding=encoding))[0].columns == ["name", "größe", "plan"]


def test_texts_are_stripped_and_what_means_missing_is_null(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", "a , b,c\n 1 ,NA,x\n,n/a, ?\nNaN,none,gone\n")
    frame, _ = read_table(path, ReadOptions(missing_values=("gone",)))
    assert frame.columns == ["a", "b", "c"]
    assert frame.rows() == [("1", None, "x"), (None, None, None), (None, "none", None)]


def test_a_number_can_mean_missing_in_typed_files_too(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1, -999, 3], "b": [1.5, float("nan"), -999.0]}).write_parquet(tmp_path / "t.parquet")
    frame, _ = read_table(str(tmp_path / "t.parquet"), ReadOptions(missing_values=("-999",)))
    assert frame.rows() == [(1, 1.5), (None, None), (3, None)]


@pytest.mark.parametrize("form", ["{rows}", "[{rows}]"])
def test_nan_in_json_is_missing_and_in_a_text_it_is_text(form: str, tmp_path: Path) -> None:
    rows = [{"a": math.nan, "b": 'say "NaN", NaN'}, {"a": 1.5, "b": "NaN"}, {"a": 2.5, "b": "Infinity\\"}]
    between = ",\n" if form[0] == "[" else "\n"
    path = write(tmp_path, "t.jsonl", form.format(rows=between.join(map(json.dumps, rows))))
    frame, _ = read_table(path, ReadOptions())
    assert frame.rows() == [(None, 'say "NaN", NaN'), (1.5, None), (2.5, "Infinity\\")]


def test_delimiters_inside_quotes_do_not_count(tmp_path: Path) -> None:
    frame, _ = read_table(write(tmp_path, "t.csv", 'a,b\n"x;y;z",1\n"p;q;r\nnext line",2\n'), ReadOptions())
    assert frame["b"].to_list() == ["1", "2"]
    assert frame["a"].to_list() == ["x;y;z", "p;q;r\nnext line"]


@pytest.mark.parametrize(
    "text",
    [
        "\na,b\n1,2\n3,\n",
        "a,b\n1,2\n\n3,\n",
        "a,b\r\n1,2\r\n3,\r\n\r\n\r\n",
        "  \n\na;b\n1;2\n   \n3;\n  ",
        'a,b\n\n"1",2\n\n"3",""\n\n',
        "a|b\r1|2\r\r3|\r",
    ],
)
def test_blank_lines_are_no_rows(text: str, tmp_path: Path) -> None:
    frame, _ = read_table(write(tmp_path, "t.csv", text), ReadOptions())
    assert (frame.columns, frame.rows()) == (["a", "b"], [("1", "2"), ("3", None)])


def test_a_file_of_decimal_commas_is_cut_where_that_leaves_numbers(tmp_path: Path) -> None:
    text = "".join(f"{i % 5},5;{i % 7},25;{i % 2}\n" for i in range(30))
    frame, _ = read_table(write(tmp_path, "t.csv", text), ReadOptions(header=False))
    assert frame.row(1) == ("1,5", "1,25", "1")
    assert frame.shape == (30, 3)


def test_blank_lines_inside_quotes_and_rows_of_nothing_stay(tmp_path: Path) -> None:
    text = 'a\tb\n"x\n\n ""y""\n\n"\t5 "wide"\n\n\t\n"p"\t"q\n\n"\n'
    frame, _ = read_table(write(tmp_path, "t.tsv", text), ReadOptions())
    assert frame.rows() == [('x\n\n "y"', '5 "wide"'), (None, None), ("p", "q")]


def test_in_a_table_of_one_column_a_blank_line_is_a_missing_value(tmp_path: Path) -> None:
    new = ReadOptions(targets=False)
    one = pl.DataFrame({"a": ["x", None, "y", "", "z"]})
    one.write_csv(tmp_path / "t.csv")
    assert read_table(str(tmp_path / "t.csv"), new)[0]["a"].to_list() == ["x", None, "y", None, "z"]
    assert read_table(write(tmp_path, "t.csv", "\na\nx\n"), new)[0]["a"].to_list() == ["x"]


def test_a_ragged_line_is_named_by_its_number_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 6 has 3 fields, the header has 2"):
        read_table(write(tmp_path, "t.csv", "\n\na,b\n1,2\n\n3,4,5\n"), ReadOptions())


def test_a_file_without_a_header_is_read_when_told_so(tmp_path: Path) -> None:
    frame, _ = read_table(write(tmp_path, "t.csv", "1,2\n3,4\n"), ReadOptions(header=False))
    assert frame.columns == ["column 1", "column 2"]
    assert frame.height == 2


def test_a_column_without_a_name_gets_one(tmp_path: Path) -> None:
    frame, _ = read_table(write(tmp_path, "t.csv", ",a,b\n0,x,y\n1,x,y\n"), ReadOptions())
    assert frame.columns == ["column 1", "a", "b"]


def test_the_lines_of_a_name_are_one(tmp_path: Path) -> None:
    frame, _ = read_table(write(tmp_path, "t.csv", '"monthly\n charge ",plan\n1,a\n2,b\n'), ReadOptions())
    assert frame.columns == ["monthly charge", "plan"]
    with pytest.raises(DataError, match=r"a column's name has \d+ characters \('b 1,2 1,2.*…'\); is a quot"):
        read_table(write(tmp_path, "v.csv", 'a,"b\n' + "1,2\n" * 200), ReadOptions())
    with pytest.raises(DataError, match=r"has one column, 'a,b 1,2'; a table needs"):
        read_table(write(tmp_path, "u.csv", '"a,b\n1,2\n'), ReadOptions())


def test_utf_16_without_its_mark_is_read_once_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(TEXT.encode("utf-16-le"))
    with pytest.raises(DataError, match="if it is text in UTF-16, write encoding = 'utf-16'"):
        read_table(str(path), ReadOptions())
    assert read_table(str(path), ReadOptions(encoding="utf-16-le"))[0].columns == ["name", "größe", "plan"]
    with pytest.raises(DataError, match="holds binary data, not text in utf-8"):
        read_table(write(tmp_path, "v.csv", "a,b\0\n1,2\n"), ReadOptions(encoding="utf-8"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["t.csv", "t.csv.gz", "t.parquet", "t.jsonl", "t.npz"]), data=st.data())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(name: str, data: st.DataObject, tmp_path: Path) -> None:
    frame = churn(20)
    if name == "t.npz":
        savez_columns(frame, tmp_path / name)
    else:
        WRITERS[name](frame, tmp_path / name)
    content = bytearray((tmp_path / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        start = data.draw(st.integers(0, len(content)))
        content[start : start + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=4))
    (tmp_path / name).write_bytes(bytes(content))
    try:
        make_table(source=str(tmp_path / name), target="churned", missing_target="drop").load()
    except DataError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 400
