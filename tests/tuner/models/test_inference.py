"""Kept networks of tables answer new rows as the trained network answered those of the validation part."""

from __future__ import annotations

import datetime as dt
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.datasets import load_linnerud
from sklearn.metrics import root_mean_squared_error

import tuner
from tests.objectives.tables_kit import messy
from tests.tuner.models.predicting import Kept, in_parts, kept, validation
from tuner.errors import DataError, UsageError
from tuner.models.inference import Predictor
from tuner.models.naming import open_model

SPACE = {"depth": 1, "width": 8, "learning_rate": 0.02, "optimizer": "adam", "schedule": "constant", "batch_size": 16}


def table(folder: Path, frame: pl.DataFrame, target: str | list[str], **data: Any) -> Kept:
    """A network that was kept of a table; the validation rows alone are new.csv."""
    frame = in_parts(frame)
    frame.write_csv(folder / "all.csv")
    validation(frame).write_csv(folder / "new.csv")
    source = {"source": str(folder / "all.csv"), "target": target, "split_column": "part", **data}
    return kept(folder, data=source, space=SPACE)


@pytest.fixture(scope="module")
def messy_table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Kept, Path]:
    """Categories, dates, prices, 30 % missing values; two classes."""
    folder = tmp_path_factory.mktemp("messy")
    return table(folder, messy(), "left"), folder


def test_classes_are_those_that_the_trained_network_said(messy_table: tuple[Kept, Path]) -> None:
    found, folder = messy_table
    predictions = found.model.predictions(folder / "new.csv", probabilities=True)
    shares = found.outputs().softmax(-1)
    classes = ["no", "yes"]
    assert predictions.frame.columns == ["left", "p(no)", "p(yes)"]
    assert predictions.frame["left"].to_list() == [classes[number] for number in shares.argmax(-1).tolist()]
    assert set(predictions.frame["left"]) == set(classes)
    np.testing.assert_allclose(predictions.frame["p(yes)"].to_numpy(), shares[:, 1].numpy(), atol=2e-6)
    assert predictions.scored == 100
    assert predictions.scores["accuracy"] == pytest.approx(found.rebuilt.scores["accuracy"])


def test_neither_the_order_of_rows_nor_the_size_of_batches_changes_an_answer(messy_table: tuple[Kept, Path]) -> None:
    found, folder = messy_table
    whole = found.model.predict(folder / "new.csv", probabilities=True)
    order = np.random.default_rng(0).permutation(whole.height)
    pl.read_csv(folder / "new.csv", infer_schema=False)[order].write_csv(folder / "shuffled.csv")
    shuffled = found.model.predict(folder / "shuffled.csv", probabilities=True)
    assert shuffled["left"].to_list() == whole["left"][order].to_list()
    np.testing.assert_allclose(shuffled["p(no)"], whole["p(no)"].to_numpy()[order], atol=2e-6)
    for size in (1, 7):
        small = found.model.predict(folder / "new.csv", probabilities=True, batch_size=size)
        assert small["left"].to_list() == whole["left"].to_list()
        np.testing.assert_allclose(small["p(no)"], whole["p(no)"], atol=2e-6)


def test_a_dataframe_is_answered_as_the_file_is(messy_table: tuple[Kept, Path]) -> None:
    found, folder = messy_table
    read = pl.read_csv(folder / "new.csv", infer_schema=False)
    assert found.model.predict(read).equals(found.model.predict(folder / "new.csv"))
    assert found.model.predict(pd.read_csv(folder / "new.csv", dtype=str)).equals(
        found.model.predict(folder / "new.csv")
    )
    assert found.model.predict(read.to_dicts()).equals(found.model.predict(folder / "new.csv"))
    assert found.model.predict(read.lazy()).equals(found.model.predict(folder / "new.csv"))


def test_what_was_never_seen_is_answered_as_in_validation_and_what_is_infinite_is_not(
    messy_table: tuple[Kept, Path],
) -> None:
    found, folder = messy_table
    rows = pl.read_csv(folder / "new.csv", infer_schema=False).head(4).drop("left")
    rows = rows.with_columns(
        pl.Series("category 0", ["never seen", None, "level 1", "level 1"]),
        pl.Series("visits", ["1", None, "inf", "2"]),
        pl.Series("signed up", ["2035-01-01", None, "2022-02-02", "2022-02-02"]),
    )
    predictions = found.model.predictions(rows)
    assert [answer is None for answer in predictions.frame["left"]] == [False, False, True, False]
    assert predictions.faults == {2: "'visits' is infinite"}
    assert (predictions.scores, predictions.scored) == ({}, 0)


def test_rows_whose_class_is_missing_or_unknown_are_answered_but_not_scored(messy_table: tuple[Kept, Path]) -> None:
    found, folder = messy_table
    rows = pl.read_csv(folder / "new.csv", infer_schema=False).head(4)
    rows = rows.with_columns(pl.Series("left", [None, "perhaps", "no", "yes"]))
    predictions = found.model.predictions(rows)
    assert predictions.frame["left"].null_count() == 0
    assert predictions.scored == 2
    assert "rows of classes that training lacked are not scored" in predictions.notes[0]
    assert found.model.predictions(rows.head(1)).scored == 0


def test_several_targets_are_answered_in_their_own_units(tmp_path: Path) -> None:
    data, names = load_linnerud(), ["Weight", "Waist", "Pulse"]
    exercises = {str(name): data.data[:, i] for i, name in enumerate(data.feature_names)}
    frame = pl.DataFrame({**exercises, **{name: data.target[:, i] for i, name in enumerate(names)}})
    found = table(tmp_path, pl.concat([frame] * 3), names)
    predictions = found.model.predictions(tmp_path / "new.csv")
    target = found.rebuilt.trainable.target  # type: ignore[attr-defined]
    wanted = found.outputs().double() * torch.tensor(target.scales) + torch.tensor(target.means)
    assert predictions.frame.columns == names
    np.testing.assert_allclose(predictions.frame.to_numpy(), wanted.numpy(), rtol=1e-5)
    assert 100 < predictions.frame["Weight"].to_numpy().mean() < 250
    assert predictions.scores["rmse"] == pytest.approx(found.rebuilt.scores["rmse"], rel=1e-4)
    right = pl.read_csv(tmp_path / "new.csv")
    apart = {f"rmse of {name}": root_mean_squared_error(right[name], predictions.frame[name]) for name in names}
    assert {name: predictions.scores[name] for name in apart} == pytest.approx(apart, rel=1e-4)
    noted = found.rebuilt.row.attributes["final"]
    assert noted == pytest.approx(apart, rel=1e-4)


def test_a_model_predicts_from_another_folder_when_study_and_data_are_gone(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    found = table(tmp_path / "here", messy(200), "left")
    wanted = found.model.predict(tmp_path / "here" / "new.csv")
    new = shutil.move(tmp_path / "here" / "new.csv", tmp_path / "new.csv")
    moved = shutil.move(found.place, tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "here")
    assert tuner.load_model(str(moved)).predict(str(new)).equals(wanted)


def test_columns_of_the_data_stand_before_the_answers_and_keep_their_names(messy_table: tuple[Kept, Path]) -> None:
    found, folder = messy_table
    whole = found.model.predictions(folder / "new.csv").with_data()
    assert whole.columns[0] == "customer_id"
    assert whole.columns[-2:] == ["left", "predicted left"]
    assert whole["customer_id"].to_list() == pl.read_csv(folder / "new.csv")["customer_id"].to_list()
    again = found.model.predictions(whole).with_data()
    assert again.columns == [*whole.columns, "predicted predicted left"]
    assert again["predicted left"].to_list() == again["predicted predicted left"].to_list()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.csv", None, r"none\.csv: no such file"),
        ("new.csv", "", r"new\.csv: is empty"),
        ("new.csv", "a,b\n", r"new\.csv: columns 'age', 'spend', 'plan' absent"),
        ("new.csv", "age,spnd,plan\n1,2,a\n", r"column 'spend' absent, which training had; did you mean 'spnd'\?"),
        ("new.csv", "plan\nbasic\n", r"columns 'age', 'spend' absent"),
        ("new.csv", "age,spend,plan\nold,2,a\n", r"column 'age' holds 'old' where training had numbers"),
        ("new.png", b"\x89PNG\r\n", r"new\.png: unknown format '\.png'"),
        ("new.csv", b"\x89PNG\r\n", r"new\.csv: is an image, not a CSV file"),
        ("new.npy", pickle.dumps({}), r"new\.npy: is no NPY file; save the array with numpy\.save"),
    ],
)  # fmt: skip
def test_what_is_no_data_for_the_model_is_said_in_one_line(
    customers: Kept, tmp_path: Path, name: str, content: str | bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=says) as caught:
        customers.model.predict(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def customers(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    from tests.objectives.tables_kit import churn

    return table(tmp_path_factory.mktemp("customers"), churn(80), "churned")


def test_no_rows_have_no_answers_under_the_same_names(customers: Kept, tmp_path: Path) -> None:
    """A batch job has empty days."""
    empty = pl.DataFrame(schema={"age": pl.Int64, "spend": pl.Float64, "plan": pl.String})
    (tmp_path / "empty.csv").write_text("age,spend,plan,churned\n")
    for rows in (empty, tmp_path / "empty.csv"):
        predictions = customers.model.predictions(rows, probabilities=True)
        assert predictions.frame.columns == ["churned", "p(no)", "p(yes)"]
        assert (predictions.frame.height, predictions.scored) == (0, 0)


def test_a_folder_an_array_of_one_axis_and_no_columns_are_refused(customers: Kept, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder; name a file"):
        customers.model.predict(tmp_path)
    with pytest.raises(DataError, match="rows are a DataFrame, a list of dicts, or an array"):
        customers.model.predict(np.zeros(3))
    with pytest.raises(DataError, match="columns 'age', 'spend', 'plan' absent"):
        customers.model.predict(pl.DataFrame())
    with pytest.raises(UsageError, match="a batch has 1 sample or more"):
        customers.model.predict(pl.DataFrame({"age": [1], "spend": [2.0], "plan": ["a"]}), batch_size=0)


def test_numbers_have_no_probabilities(tmp_path: Path) -> None:
    from tests.objectives.tables_kit import churn

    found = table(tmp_path, churn(80), "spend")
    with pytest.raises(UsageError, match="probabilities are those of classes"):
        found.model.predict(tmp_path / "new.csv", probabilities=True)


def test_arrays_are_rows_whose_columns_are_called_as_those_of_an_npz_file(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(60, 3))
    np.savez(tmp_path / "all.npz", X=inputs, y=(inputs[:, 0] > 0).astype(int))
    found = kept(tmp_path, data={"source": str(tmp_path / "all.npz"), "target": "y"}, space=SPACE)
    np.save(tmp_path / "new.npy", inputs)
    np.savez(tmp_path / "new.npz", X=inputs)
    answers = found.model.predict(inputs)
    assert set(answers["y"]) == {"0", "1"}
    assert found.model.predict(tmp_path / "new.npy").equals(answers)
    assert found.model.predict(tmp_path / "new.npz").equals(answers)


def test_what_was_learned_from_typed_columns_is_answered_in_files_of_texts(tmp_path: Path) -> None:
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=3 * row) for row in range(60)]
    columns = {"when": days, "vip": [row % 3 == 0 for row in range(60)], "price": [row % 7 + 0.5 for row in range(60)]}
    frame = pl.DataFrame(columns)
    frame.write_parquet(tmp_path / "all.parquet")
    found = kept(tmp_path, data={"source": str(tmp_path / "all.parquet"), "target": "price"}, space=SPACE)
    frame.write_csv(tmp_path / "new.csv")
    frame.write_ndjson(tmp_path / "new.jsonl")
    answers = found.model.predict(frame)
    assert found.model.predict(tmp_path / "new.csv").equals(answers)
    assert found.model.predict(tmp_path / "new.jsonl").equals(answers)


@pytest.mark.parametrize("words", [["False", "True"], ["no", "yes"], ["N", "Y"]])
def test_yes_and_no_may_be_spelled_in_any_way(tmp_path: Path, words: list[str]) -> None:
    frame = pl.DataFrame(
        {"vip": [words[row % 2] for row in range(60)], "price": [row % 2 + row / 100 for row in range(60)]}
    )
    frame.write_csv(tmp_path / "all.csv")
    found = kept(tmp_path, data={"source": str(tmp_path / "all.csv"), "target": "price"}, space=SPACE)
    wanted = found.model.predict(pl.DataFrame({"vip": [*words, None]}))
    assert wanted["price"].n_unique() == 3 - (wanted["price"][2] in wanted["price"][:2])
    spellings: list[list[object]] = [
        ["false", "TRUE"],
        ["No", "Yes"],
        ["0", "1"],
        ["0.0", "1.0"],
        [False, True],
        [0, 1],
    ]
    for spelling in spellings:
        predictions = found.model.predictions(pl.DataFrame({"vip": [*spelling, None]}))
        assert predictions.frame.equals(wanted)
        assert (predictions.notes, predictions.warnings) == ([], [])
    assert found.model.predictions(pl.DataFrame({"vip": ["2", "maybe"]})).warnings != []


def test_dates_are_read_as_in_training_or_as_iso_has_them(tmp_path: Path) -> None:
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=7 * row) for row in range(60)]
    frame = pl.DataFrame({"since": [f"{day:%d.%m.%Y}" for day in days], "price": [float(row) for row in range(60)]})
    frame.write_csv(tmp_path / "all.csv")
    found = kept(tmp_path, data={"source": str(tmp_path / "all.csv"), "target": "price"}, space=SPACE)
    wanted = found.model.predict(frame.drop("price"))
    for form in ("%Y-%m-%d", "%Y-%m-%dT00:00:00Z", "%Y-%m-%d 00:00"):
        assert found.model.predict(pl.DataFrame({"since": [format(day, form) for day in days]})).equals(wanted)
    says = (
        r"column 'since' holds '07/26/2024' where training had dates such as 31\.01\.2026; write them so, or as 2026-01"
    )
    with pytest.raises(DataError, match=says):
        found.model.predict(pl.DataFrame({"since": ["07/26/2024"]}))


@pytest.mark.parametrize(("trained", "new", "sign"), [(",", ".", "comma"), (".", ",", "point")])
def test_another_sign_of_decimals_is_refused_and_not_read_as_thousands(
    tmp_path: Path, trained: str, new: str, sign: str
) -> None:
    weights = [f"{row / 7:.3f}".replace(".", trained) for row in range(1, 61)]
    frame = pl.DataFrame({"weight": weights, "price": range(60)})
    frame.write_csv(tmp_path / "all.csv")
    found = kept(tmp_path, data={"source": str(tmp_path / "all.csv"), "target": "price"}, space=SPACE)
    rows = pl.DataFrame({"weight": [f"0{new}330", f"61{new}700"]})
    with pytest.raises(DataError, match=rf"holds '0\{new}330' where training had numbers with a decimal {sign}; write"):
        found.model.predict(rows)


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("preprocessing.json", b"{}", r"is damaged: preprocessing\.json does not have the checksum"),
        ("weights.safetensors", b"", "is damaged: weights"),
        ("card.json", b"{", r"is damaged: its card\.json is not JSON"),
        ("card.json", b'{"format": 1, "files": {}}', "does not say its objective"),
        ("preprocessing.json", None, "lacks its file preprocessing"),
    ],
)
def test_a_damaged_model_is_refused(
    customers: Kept, tmp_path: Path, file: str, change: bytes | None, says: str
) -> None:
    place = shutil.copytree(customers.place, tmp_path / "copy")
    if change is None:
        (place / file).unlink()
    else:
        (place / file).write_bytes(change)
    with pytest.raises(DataError, match=says):
        tuner.load_model(str(place))


def test_a_model_that_is_not_there_is_told_with_the_nearest_and_all_there_are(customers: Kept, tmp_path: Path) -> None:
    where = str(customers.place.parent)
    with pytest.raises(UsageError, match=r"no model 'quik' in .*; did you mean 'quick'\? There are: quick"):
        tuner.load_model("quik", where=where)
    with pytest.raises(UsageError, match="there are none yet"):
        tuner.load_model("quick", where=str(tmp_path))
    with pytest.raises(UsageError, match="is no model: there is no such folder"):
        tuner.load_model(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match=r"is no model: there is no card\.json in it"):
        tuner.load_model(str(tmp_path))
    with pytest.raises(UsageError, match="device 'cuda:99' is not there"):
        tuner.load_model("quick", where=where, device="cuda:99")


def test_a_model_of_an_fsspec_url_predicts(customers: Kept, tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for path in customers.place.iterdir():
        memory.pipe_file(f"/models/quick/{path.name}", path.read_bytes())
    rows = pl.DataFrame({"age": [30, 70], "spend": [10.0, 300.0], "plan": ["basic", "pro"]})
    found = Predictor(open_model("memory://models/quick"))
    assert found.predict(rows).equals(customers.model.predict(rows))
    assert found.card["study"] == "quick"
