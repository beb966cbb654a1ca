from __future__ import annotations

import datetime as dt
import json
import math
from typing import Any

import pytest
import yaml

from tuner.output import ago, dump, duration, number, printable, score

RECORDS: list[dict[str, Any]] = [
    {"a": 0.1 + 0.2, "b": {"c": math.nan, "d": [1, 2]}},
    {"a": None, "b": {"c": True, "e": 'x,"y"'}},
]


def test_json_keeps_every_digit_and_has_null_for_what_it_cannot_say() -> None:
    assert json.loads(dump(RECORDS, "json"))[0] == {"a": 0.30000000000000004, "b": {"c": None, "d": [1, 2]}}


def test_json_lines_are_one_record_each() -> None:
    assert [json.loads(line)["a"] for line in dump(RECORDS, "jsonl").splitlines()] == [0.30000000000000004, None]


def test_yaml_keeps_the_order_of_the_keys() -> None:
    text = dump({"z": 1, "a": [1, 2]}, "yaml")
    assert text == "z: 1\na:\n- 1\n- 2"
    assert yaml.safe_load(text) == {"z": 1, "a": [1, 2]}


def test_csv_has_a_column_for_each_key_that_occurs_groups_together() -> None:
    assert dump(RECORDS, "csv").splitlines() == [
        "a,b.c,b.d,b.e",
        '0.30000000000000004,,"[1, 2]",',
        ',true,,"x,""y"""',
    ]


def test_csv_without_records_still_has_its_head() -> None:
    assert dump([], "csv", keys=("number", "state")) == "number,state"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"), (True, "true"), (64, "64"), ("adam", "adam"), (0.25, "0.25"), (0.0, "0"), (1e-4, "1.00e-4"),
        (0.00123456, "0.001235"), (123456.0, "1.23e5"), (math.inf, "inf"), (math.nan, "nan"), (-2.5e-7, "-2.50e-7"),
    ],
)  # fmt: skip
def test_numbers_are_short(value: object, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(1.0, "1.0000"), (0.98249, "0.9825"), (4021.337, "4021.34"), (1e-9, "1.00e-9"), (None, "–")]
)
def test_scores_have_the_same_decimals(value: float | None, shown: str) -> None:
    assert score(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0123, "12 ms"), (0.42, "0.4 s"), (42, "42 s"), (185, "3:05"), (7385, "2:03:05"), (None, "–")],
)
def test_durations_are_read_at_a_glance(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(3, "just now"), (42, "42 seconds ago"), (60, "1 minute ago"), (7300, "2 hours ago")]
)
def test_a_moment_is_told_by_how_long_ago_it_was(seconds: float, shown: str) -> None:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert ago(now - dt.timedelta(seconds=seconds), now) == shown


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert printable("a\x1b[31mb\n\u202ec – é") == "a\\x1b[31mb\\n\\u202ec – é"
