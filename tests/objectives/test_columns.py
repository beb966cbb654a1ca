"""What a column holds is inferred as a person would, and can be said otherwise."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest

from objectives.tables.columns import ColumnPlan, Wishes, plan_columns
from objectives.tables.values import NumberStyle, as_dates, as_dates_or_iso, as_numbers, date_format, number_style

ROWS = 60
EVEN = ["a", "b"] * (ROWS // 2)


def plan(values: list[Any], name: str = "column", **wishes: Any) -> ColumnPlan:
    series = pl.Series(name, values, strict=False)
    return plan_columns(pl.DataFrame([series]), Wishes(**wishes), where="t.csv")[0]


def shuffled(values: list[Any]) -> list[Any]:
    order = np.random.default_rng(0).permutation(len(values))
    return [values[i] for i in order]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.5 * i for i in range(ROWS)], "number"),
        ([str(0.5 * i) for i in range(ROWS)], "number"),
        (shuffled([str(i) for i in range(ROWS)]), "number"),
        ([i % 7 for i in range(ROWS)], "number"),
        ([f"{i * 1013:,}" for i in range(ROWS)], "number"),
        ([f"{i},5" for i in range(ROWS)], "number"),
        ([f"€ {i}.50" for i in range(ROWS)], "number"),
        ([f"{i}.5 kg" for i in range(ROWS)], "number"),
        ([None, *[str(i / 2) for i in range(ROWS)]], "number"),
        (["unknown" if i % 3 else str(i / 2) for i in range(2, ROWS)] + [str(i / 3) for i in range(40)], "number"),
        (EVEN, "category"),
        ([f"0{i % 9}123" for i in range(ROWS)], "category"),
        ([f"{200 + i % 7}{'a' if i % 30 == 0 else ''}" for i in range(ROWS)], "category"),
        ([f"{i % 5} {'kg' if i % 2 else 'lb'}" for i in range(ROWS)], "category"),
        ([True, False] * 30, "boolean"),
        (["Yes", "no", None] * 20, "boolean"),
        (["true", "FALSE"] * 30, "boolean"),
        ([f"2021-03-{1 + i % 28:02}" for i in range(ROWS)], "date"),
        ([f"{1 + i % 28}.3.2021" for i in range(ROWS)], "date"),
        ([f"3/{1 + i % 28}/2021" for i in range(ROWS)], "date"),
        ([f"{1 + i % 28} Mar 2021" for i in range(ROWS)], "date"),
        ([f"2021-03-01T{i % 24:02}:30:00Z" for i in range(ROWS)], "date"),
        ([dt.date(2021, 3, 1 + i % 28) for i in range(ROWS)], "date"),
        ([dt.datetime(2021, 3, 1 + i % 28, 12) for i in range(ROWS)], "date"),
        ([dt.timedelta(hours=i) for i in range(ROWS)], "number"),
    ],
)
def test_the_kind_of_a_column_follows_its_values(values: list[Any], kind: str) -> None:
    assert plan(values).kind == kind


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("constant", ["x"] * ROWS, "constant: every value is x"),
        ("constant", [3.0] * ROWS, "constant: every value is 3.0"),
        ("empty", [None] * ROWS, "every value is missing"),
        ("row", list(range(1, ROWS + 1)), "identifier"),
        ("row", [str(i) for i in range(0, 2 * ROWS, 2)], "identifier"),
        ("customer_id", shuffled([i * 977 for i in range(ROWS)]), "identifier"),
        ("PassengerId", shuffled([i * 977 for i in range(ROWS)]), "identifier"),
        ("index", shuffled([i * 977 for i in range(ROWS)]), "identifier"),
        ("key", [f"K-{i}" for i in range(ROWS)], "identifier"),
        ("remark", [f"text {i // 2}" for i in range(ROWS)], "text: 30 different values, none in 3 rows"),
        ("list", [[1, 2]] * ROWS, "holds list values"),
        ("record", [{"a": 1}] * ROWS, "holds struct values"),
    ],
)
def test_columns_that_teach_nothing_are_unused_and_say_why(name: str, values: list[Any], why: str) -> None:
    found = plan(values, name)
    assert found.kind == "unused"
    assert why in found.note


@pytest.mark.parametrize(("name", "start"), [("column 1", 0), ("id", 1), ("index", 1), ("row", 101)])
def test_a_column_that_numbers_the_rows_of_a_short_table_is_unused(name: str, start: int) -> None:
    """A part of them has gaps: only the whole table tells."""
    whole = pl.DataFrame({name: shuffled([str(start + i) for i in range(12)])})
    (found,) = plan_columns(whole.head(7), Wishes(), where="t.csv", whole=whole)
    assert (found.kind, found.note) == ("unused", "identifier: it numbers the rows")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("age", list(range(30, 42))),
        ("id", [31, 33, 34, 35, 36, 37, 38, 39, 40, 41]),
        ("id", [1, 2, 3, 4, 5, 6]),
        ("index", [1, 2, 3, 4, 5, 6, 7, 8, 8, 9]),
    ],
)
def test_few_whole_numbers_that_do_not_number_the_rows_are_used(name: str, values: list[int]) -> None:
    assert plan(values, name).kind == "number"


@pytest.mark.parametrize("name", ["paid", "width", "valid", "humid", "grid", "price_index", "idle"])
def test_a_name_that_only_ends_like_id_is_no_identifier(name: str) -> None:
    assert plan(shuffled([i * 977 for i in range(ROWS)]), name).kind == "number"


def test_a_person_may_say_otherwise() -> None:
    identifiers = [str(i) for i in range(ROWS)]
    assert plan(identifiers, "id").kind == "unused"
    assert plan(identifiers, "id", numbers=["id"]).kind == "number"
    assert plan([1, 2, 3] * 20, "zone", categories=["zone"]).kind == "category"
    assert plan(["2021-03-01"] * ROWS, "day", dates=["day"]).kind == "date"


def test_few_texts_among_numbers_count_as_missing_and_are_noted() -> None:
    found = plan([str(i / 2) for i in range(100)] + ["abc", "-"])
    assert found.kind == "number"
    assert found.note == "2 values such as 'abc' could not be read and count as missing"


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1", "-2.5", "+3e2"], [1, -2.5, 300]),
        (["1,234", "12,345,678", "7"], [1234, 12345678, 7]),
        (["1.234,5", "2,5"], [1234.5, 2.5]),
        (["1,234.5", "2.5"], [1234.5, 2.5]),
        (["1,5", "22,75"], [1.5, 22.75]),
        (["$1,200.50", "$3"], [1200.5, 3]),
        (["12%", "3.5 %"], [12, 3.5]),
        (["1 234", "12 345"], [1234, 12345]),
        (["-5 °C", "3 °C"], [-5, 3]),
        (["12,34,567", "1,00,000"], [1234567, 100000]),
        (["0,330", "1,250"], [0.33, 1.25]),
    ],
)
def test_numbers_are_read_as_people_write_them(texts: list[str], numbers: list[float]) -> None:
    series = pl.Series("x", texts)
    style = number_style(series)
    assert style is not None
    assert as_numbers(series, style).to_list() == numbers


@pytest.mark.parametrize(
    ("decimal", "text"), [(",", "19568.57"), (",", "1.95.68"), (",", "1.234.5"), (".", "14526,18"), (".", "1,2,345.6")]
)
def test_what_is_written_in_the_other_style_is_no_number(decimal: str, text: str) -> None:
    """Without its point 19568.57 would be a hundred times as much."""
    style = NumberStyle(decimal=decimal, written=True)
    assert as_numbers(pl.Series("x", [text, "7"]), style).to_list() == [None, 7]


@pytest.mark.parametrize(
    ("training", "new", "numbers"),
    [
        (["61,7", "0,33"], ["61.700", "2.500"], [None, None]),  # 61.7 rather than 61700
        (["61,7", "0,33"], ["61.700", "2,5"], [61700, 2.5]),
        (["1.234,5", "0,33"], ["61.700", "2.500"], [61700, 2500]),
        (["1.234,5", "0,33"], ["61.700", "0.330"], [None, None]),
        (["61.7 kg", "0.33 kg"], ["61,700 kg", "2,500 kg"], [None, None]),
        (["1,234.5", "0.33"], ["61,700", "2,500"], [61700, 2500]),
        (["1,234.5", "0.33"], ["61,700", "0,330"], [None, None]),
        (["61.7", "0.33"], ["61,700", "0,330"], [None, None]),
    ],
)
def test_a_sign_groups_thousands_only_where_that_is_plain(
    training: list[str], new: list[str], numbers: list[float | None]
) -> None:
    """A file of another country would be read as numbers a thousand times as large."""
    style = number_style(pl.Series("x", training))
    assert style is not None
    assert as_numbers(pl.Series("x", new), style).to_list() == numbers


@pytest.mark.parametrize("texts", [["Q1", "Q2"], ["1st", "2nd"], ["A-12", "A-13"], ["007", "012"], ["1-2", "3-4"]])
def test_codes_are_no_numbers(texts: list[str]) -> None:
    assert number_style(pl.Series("x", texts)) is None


def test_an_unparsable_number_is_missing_not_zero() -> None:
    assert as_numbers(pl.Series("x", ["5 kg", "heavy", None]), NumberStyle(unit="kg", written=True)).to_list() == [
        5.0,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("texts", "first"),
    [
        (["2021-12-31", "2021-01-02"], dt.datetime(2021, 12, 31)),
        (["12/31/2021", "01/02/2021"], dt.datetime(2021, 12, 31)),
        (["31/12/2021", "01/02/2021"], dt.datetime(2021, 12, 31)),
        (["31.12.21", "01.02.21"], dt.datetime(2021, 12, 31)),
        (["2021-12-31 23:59", "2021-01-02 00:01"], dt.datetime(2021, 12, 31, 23, 59)),
        (["2021-12-31T23:59:58.5Z", "2021-01-02T00:01:00Z"], dt.datetime(2021, 12, 31, 23, 59, 58, 500000)),
        (["2021-12-31T23:59:58+02:00", "2021-01-02T00:01:00+02:00"], dt.datetime(2021, 12, 31, 23, 59, 58)),
        (["12/31/2021 11:05 PM", "01/02/2021 01:00 AM"], dt.datetime(2021, 12, 31, 23, 5)),
        (["December 31, 2021", "January 2, 2021"], dt.datetime(2021, 12, 31)),
        (["31-Dec-21", "02-Jan-21"], dt.datetime(2021, 12, 31)),
    ],
)
def test_dates_are_read_as_people_write_them(texts: list[str], first: dt.datetime) -> None:
    series = pl.Series("x", texts)
    form = date_format(series)
    assert form is not None
    assert as_dates(series, form)[0] == first
    assert as_dates(series, form).null_count() == 0


def test_times_of_several_zones_are_made_those_of_utc_and_of_one_are_left_as_they_are_written() -> None:
    texts = ["2020-01-01T10:00:00+02:00", "2020-01-01 10:00:00-0800", "2020-01-01T10:00:00Z", "2020-01-01T10:00:00"]
    form = date_format(pl.Series("x", texts))
    assert form == "%Y-%m-%d %H:%M:%S%.f%z"
    assert [time.hour for time in as_dates(pl.Series("x", texts), form)] == [8, 18, 10, 10]
    assert as_dates(pl.Series("x", texts[:1]), form)[0].hour == 8  # a row alone is read as it is among others
    assert as_dates_or_iso(pl.Series("x", ["2020-01-01 10:00", None]), form).to_list()[0].hour == 10
    one = date_format(pl.Series("x", [texts[0], texts[3]] * 5))
    assert one == "%Y-%m-%d %H:%M:%S%.f"
    assert [time.hour for time in as_dates(pl.Series("x", texts), one)] == [10, 10, 10, 10]


def test_days_that_few_texts_tell_from_months_are_days() -> None:
    texts = [f"{1 + i % 12:02}/{1 + i % 7:02}/2020" for i in range(120)] + ["13/02/2020", "31/03/2020", "24/12/2020"]
    assert date_format(pl.Series("x", texts)) == "%d/%m/%Y"


@pytest.mark.parametrize(
    "texts", [["a", "b"], ["12", "13"], ["1.5", "2.5"], ["555-1234", "555-9876"], ["10:30", "11:30"]]
)
def test_other_texts_are_no_dates(texts: list[str]) -> None:
    assert date_format(pl.Series("x", texts)) is None
