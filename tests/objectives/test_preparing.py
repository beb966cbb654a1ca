"""A table is split by seed, and what is fitted knows the training part only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.preprocessing import OneHotEncoder

from objectives.tables.options import TableData
from objectives.tables.preprocessing import Preprocessing
from objectives.tables.reading import normalise
from objectives.tables.target import Target
from tests.objectives.tables_kit import churn, messy, prepare
from tuner.errors import DataError, UsageError
from tuner.sections import validate
from tuner.study_file import override


def test_nothing_of_validation_and_test_rows_reaches_what_is_fitted(tmp_path: Path) -> None:
    frame = messy(300)
    words = ["training"] * 180 + ["validation"] * 60 + ["test"] * 60
    parted = frame.with_columns(pl.Series("part", words)).select("part", *frame.columns)
    training = pl.col("part") == "training"
    strange = [
        pl.when(training).then(pl.col(name)).otherwise(pl.lit("31 strange")).alias(name)
        for name in frame.columns
        if name.startswith("category")
    ]
    dates = pl.when(training).then(pl.col("signed up")).otherwise(pl.lit("1999-01-01")).alias("signed up")
    money = pl.when(training).then(pl.col("income")).otherwise(pl.lit("$999,999,999")).alias("income")
    flipped = pl.when(training).then(pl.col("left")).otherwise(pl.lit("yes")).alias("left")
    changed = parted.with_columns(*strange, dates, money, flipped)
    before = prepare(parted, tmp_path, split_column="part", target="left")
    after = prepare(changed, tmp_path, split_column="part", target="left")
    assert after.preprocessing.to_json() == before.preprocessing.to_json()
    np.testing.assert_array_equal(after.parts["training"].inputs, before.parts["training"].inputs)
    assert not np.array_equal(after.parts["validation"].inputs, before.parts["validation"].inputs)


def test_the_number_of_a_row_is_no_feature_of_a_short_table(tmp_path: Path) -> None:
    """Sorted by its classes, a table's row numbers tell the target: the search would find nothing better."""
    frame = churn(16).sort("churned").insert_column(0, pl.Series("column 1", range(16)))
    table = prepare(frame, tmp_path)
    assert table.plans[0].kind == "unused"
    assert "column 1" not in table.preprocessing.features


def test_a_regression_target_is_standardised_by_the_training_part_only(tmp_path: Path) -> None:
    table = prepare(churn(100).select("age", "plan", "spend"), tmp_path)
    training = table.parts["training"].targets
    np.testing.assert_allclose([training.mean(), training.std()], [0, 1], atol=1e-9)
    assert abs(table.parts["validation"].targets.mean()) > 1e-4


def test_numbers_are_standardised_with_scikit_learns_statistics(tmp_path: Path) -> None:
    table = prepare(churn(200), tmp_path)
    inputs = table.parts["training"].inputs[:, :2]
    np.testing.assert_allclose(inputs.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(inputs.std(0), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [("drop=column 1", ["column 1"]), ("drop=3", ["3"]), ("drop=a,b", ["a", "b"]), ("drop=", []), ("drop=[]", [])],
)
def test_a_list_of_one_name_is_written_as_the_name(setting: str, wanted: list[str]) -> None:
    values = override({}, [f"data.{setting}"])["data"]
    assert validate(TableData, values, where="study.toml [data]").drop == wanted


def test_a_text_with_a_comma_is_one_where_it_is_quoted() -> None:
    listed = override({}, ["data.positive=yes, sure"])["data"]
    with pytest.raises(
        UsageError, match="""is a list, not one text; a text with a comma in it is written '"yes, sure"'"""
    ):
        validate(TableData, listed, where="study.toml [data]")
    quoted = override({}, ['data.positive="yes, sure"'])["data"]
    assert validate(TableData, quoted, where="study.toml [data]").positive == "yes, sure"


@pytest.mark.parametrize(("count", "told"), [(1, "1 row without a target was"), (2, "2 rows without a target were")])
def test_rows_without_a_target_are_dropped_when_told_so_and_counted(count: int, told: str, tmp_path: Path) -> None:
    frame = churn(100).with_columns(pl.Series("churned", [None] * count + churn(100)["churned"][count:].to_list()))
    table = prepare(frame, tmp_path, missing_target="drop")
    assert sum(len(rows.targets) for rows in table.parts.values()) == 100 - count
    assert f"table.parquet: {told} dropped" in table.notes


def test_repeated_rows_are_noted(tmp_path: Path) -> None:
    table = prepare(pl.concat([churn(60), churn(60).head(3)]), tmp_path)
    assert any(note.startswith("3 rows repeat an earlier one") for note in table.notes)


@pytest.mark.parametrize(
    ("target", "task", "outputs"),
    [
        (["a", "b", "c"] * 30, "classification", 3),
        ([True, False, True] * 30, "classification", 2),
        ([0, 1, 2] * 30, "classification", 3),
        ([1.0, 2.0, 3.0] * 30, "classification", 3),
        (["1", "2", "10"] * 30, "classification", 3),
        ([0.5 + i for i in range(90)], "regression", 1),
        (list(range(0, 270, 3)), "regression", 1),
        ([f"{i}.25" for i in range(90)], "regression", 1),
        ([f"${i},{100 + i}" for i in range(1, 91)], "regression", 1),
    ],
)
def test_the_task_follows_from_the_target(target: list[Any], task: str, outputs: int, tmp_path: Path) -> None:
    table = prepare(churn(90).with_columns(pl.Series("churned", target)), tmp_path)
    assert table.target.task == task
    assert table.target.outputs == outputs


def test_whole_numbers_taken_for_classes_are_noted(tmp_path: Path) -> None:
    frame = churn(90).with_columns(pl.Series("churned", [1, 2, 3] * 30))
    assert any("3 different whole numbers, taken for classes" in note for note in prepare(frame, tmp_path).notes)
    assert not prepare(frame, tmp_path, task="classification").notes
    assert not prepare(churn(90), tmp_path).notes


def test_a_column_may_be_called_count(tmp_path: Path) -> None:
    frame = churn(90).with_columns(pl.Series("count", ["few", "some", "many"] * 30))
    assert prepare(frame, tmp_path, target="count").target.outputs == 3
    assert "count = few" in prepare(frame, tmp_path, target="churned").preprocessing.features


def test_the_task_can_be_said_otherwise(tmp_path: Path) -> None:
    frame = churn(90).with_columns(pl.Series("churned", [1, 2, 3] * 30))
    assert prepare(frame, tmp_path, task="regression").target.task == "regression"
    assert prepare(churn(300), tmp_path, task="classification", target="age").target.task == "classification"


def test_classes_are_in_natural_order_and_the_positive_one_last(tmp_path: Path) -> None:
    frame = churn(90).with_columns(pl.Series("churned", ["1", "2", "10"] * 30))
    assert prepare(frame, tmp_path).target.classes == ("1", "2", "10")
    assert prepare(churn(90), tmp_path).target.classes == ("no", "yes")
    assert prepare(churn(90), tmp_path, positive="no").target.classes == ("yes", "no")


def test_what_is_fitted_survives_json_without_change(tmp_path: Path) -> None:
    frame = messy(300)
    table = prepare(frame, tmp_path)
    again = Preprocessing.from_json(json.loads(json.dumps(table.preprocessing.to_json())))
    assert again == table.preprocessing
    assert Target.from_json(json.loads(json.dumps(table.target.to_json()))) == table.target
    rows = normalise(frame.head(20))
    np.testing.assert_array_equal(again.transform(rows, where="new"), table.preprocessing.transform(rows, where="new"))


def test_preprocessing_of_a_later_version_is_refused() -> None:
    with pytest.raises(DataError, match="preprocessing has version 2; this tuner reads version 1"):
        Preprocessing.from_json({"version": 2, "encoders": []})


def test_missing_numbers_are_filled_and_marked(tmp_path: Path) -> None:
    numbers = [None if i % 4 == 0 else float(i % 10) + 0.5 for i in range(200)]
    frame = pl.DataFrame({"x": numbers, "y": ["a", "b"] * 100})
    table = prepare(frame, tmp_path)
    assert table.preprocessing.features == ["x", "x is missing"]
    rows = pl.DataFrame({"x": [None, 3.5]})
    (missing, filled), (_, known) = table.preprocessing.transform(rows, where="new")[:, ::-1]
    median = next(iter(table.preprocessing.encoders)).to_json()["fill"]
    reference = table.preprocessing.transform(pl.DataFrame({"x": [median]}), where="new")
    assert (missing, filled, known > filled) == (1, reference[0, 0], False)


def test_a_number_far_beyond_those_of_training_is_clipped_and_noted(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    numbers = chance.normal(size=100)
    numbers[80:82] = 1e40, -1e300
    words = ["train"] * 70 + ["val"] * 30
    frame = pl.DataFrame({"part": words, "x": numbers, "z": chance.normal(size=100), "y": ["a", "b"] * 50})
    table = prepare(frame, tmp_path, split_column="part")
    assert table.parts["validation"].inputs[10:12, 0].tolist() == [1e9, -1e9]
    (note,) = table.notes
    assert note.startswith("validation: column 'x': 2 of 30 rows hold a number far beyond training's (1e+40); clipped")


def test_what_other_parts_hold_and_training_had_not_is_noted(tmp_path: Path) -> None:
    part = ["training"] * 100 + ["validation"] * 50
    x = [f"{i}.5" for i in range(130)] + ["oops"] * 20
    frame = pl.DataFrame({"part": part, "x": x, "y": ["a", "b"] * 75})
    table = prepare(frame, tmp_path, split_column="part", numbers=[])
    assert "validation: column 'x': 20 of 50 rows hold no number ('oops'); they count as missing" in table.notes


def test_rare_and_unseen_levels_share_other_and_missing_is_a_level(tmp_path: Path) -> None:
    levels = ["a"] * 80 + ["b"] * 80 + ["c"] * 30 + [f"rare {i}" for i in range(10)] + [None] * 20
    order = np.random.default_rng(0).permutation(220)
    frame = pl.DataFrame({"x": [levels[i] for i in order], "y": ["a", "b"] * 110})
    fitted = prepare(frame, tmp_path).preprocessing
    assert fitted.features == ["x = a", "x = b", "x = c", "x = (other)", "x is missing"]
    inputs = fitted.transform(pl.DataFrame({"x": ["b", "rare 3", "never seen", None]}), where="new")
    assert inputs.tolist() == [[0, 1, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]


@pytest.mark.parametrize(("least_rows", "most"), [(1, 50), (5, 50), (20, 50), (1, 4), (5, 6), (1, 12), (1, 14)])
def test_rare_levels_are_those_of_scikit_learns_encoder(least_rows: int, most: int, tmp_path: Path) -> None:
    sizes = np.random.default_rng(1).permutation(np.arange(3, 55, 4))
    levels = [f"level {i:02}" for i, size in enumerate(sizes) for _ in range(size)]
    frame = pl.DataFrame({"part": "train", "x": levels, "y": np.arange(len(levels)) % 2})
    parted = pl.concat([frame, frame.with_columns(pl.lit("val").alias("part"))])
    table = prepare(parted, tmp_path, split_column="part", least_rows=least_rows, max_categories=most)
    encoder = OneHotEncoder(min_frequency=least_rows, max_categories=most, sparse_output=False)
    expected = encoder.fit_transform(np.array(levels, dtype=object).reshape(-1, 1))
    np.testing.assert_array_equal(table.parts["training"].inputs, expected)


def test_the_most_levels_of_a_category_can_be_set(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [f"level {i % 30}" for i in range(600)], "y": ["a", "b", "c"] * 200})
    assert len(prepare(frame, tmp_path, max_categories=5).preprocessing.features) == 5


def test_a_category_of_whole_numbers_is_the_same_from_any_type(tmp_path: Path) -> None:
    frame = pl.DataFrame({"zone": [1, 2, 3] * 40, "y": ["a", "b"] * 60})
    fitted = prepare(frame, tmp_path, categories=["zone"]).preprocessing
    for values in ([2], [2.0], ["2"]):
        assert fitted.transform(pl.DataFrame({"zone": values}), where="new").tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("written", [[1.0, 0.5, 2.0], ["1.0", "0.5", "2.0"]])
def test_a_level_has_its_name_whatever_other_rows_hold(written: list[Any], tmp_path: Path) -> None:
    frame = pl.DataFrame({"size": written * 40, "y": ["a", "b"] * 60})
    fitted = prepare(frame, tmp_path, categories=["size"]).preprocessing
    new = pl.DataFrame({"size": [1.0, 2.0]})
    assert fitted.transform(new, where="new").tolist() == [[0, 1, 0], [0, 0, 1]]
    assert fitted.strange(new) == ([], [])


def test_a_part_may_lack_the_only_class_with_a_fraction(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"part": ["train"] * 60 + ["val"] * 40, "x": np.arange(100) % 7, "y": [0.5, 1, 0] * 20 + [0, 1] * 20}
    )
    table = prepare(frame, tmp_path, split_column="part", task="classification")
    assert table.target.classes == ("0", "0.5", "1")
    assert set(table.parts["validation"].targets.tolist()) == {0, 2}
    rows, _ = table.target.known(pl.DataFrame({"y": [1.0, 0.5, None, 3.0]}))
    assert rows == [0, 1]


def test_booleans_read_alike_however_they_are_written(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": ["Yes", "no", "no"] * 40, "y": ["a", "b"] * 60})
    fitted = prepare(frame, tmp_path).preprocessing
    assert fitted.features == ["x = yes"]
    assert fitted.transform(pl.DataFrame({"x": ["YES", "No"]}), where="new").tolist() == [[1], [0]]


def test_a_target_of_yes_and_no_is_two_classes_however_each_is_spelt(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [0.5, 1.5, 2.5] * 30, "y": ["Y", "N", "Y", "y", "n", "N"] * 15})
    target = prepare(frame, tmp_path).target
    assert target.classes == ("N", "Y")
    new = pl.DataFrame({"y": ["yes", "NO", "y", "N", "maybe", None]})
    rows, known = target.known(new)
    assert rows == [0, 1, 2, 3]
    assert target.encode(known, where="new").tolist() == [1, 0, 1, 0]


def test_times_of_several_zones_are_the_same_day_alone_and_after_they_were_kept(tmp_path: Path) -> None:
    times = [f"2021-{1 + i % 12:02}-{1 + i % 28:02}T22:00:00{('+02:00', '-08:00')[i % 2]}" for i in range(120)]
    fitted = prepare(pl.DataFrame({"at": times, "y": ["a", "b"] * 60}), tmp_path).preprocessing
    kept = Preprocessing.from_json(json.loads(json.dumps(fitted.to_json())))
    east, utc = (
        kept.transform(pl.DataFrame({"at": [time]}), where="new")
        for time in ("2021-05-05T22:00:00+02:00", "2021-05-05 20:00:00")
    )
    np.testing.assert_array_equal(east, utc)


def test_dates_become_days_and_points_on_the_year_and_week(tmp_path: Path) -> None:
    days = [f"2021-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(120)]
    fitted = prepare(pl.DataFrame({"day": days, "y": ["a", "b"] * 60}), tmp_path).preprocessing
    names = ["day days", "day month sin", "day month cos", "day weekday sin", "day weekday cos"]
    assert fitted.features == names
    first, later = fitted.transform(pl.DataFrame({"day": ["2021-01-01", "2021-12-31"]}), where="new")
    assert first[0] < later[0]
    assert np.isfinite(fitted.transform(pl.DataFrame({"day": ["not a day", "2021-05-05"]}), where="new")).all()


def test_new_rows_that_lack_a_column_are_refused(tmp_path: Path) -> None:
    fitted = prepare(churn(90), tmp_path).preprocessing
    with pytest.raises(DataError, match=r"new\.csv: columns 'spend', 'plan' absent, which training had"):
        fitted.transform(churn(5).select("age"), where="new.csv")
