from __future__ import annotations

import csv
import io
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from tests.objectives.images.kit import PARAMS, class_folders
from tests.objectives.tables_kit import churn
from tests.tuner import studies
from tests.tuner.cli.conftest import Run
from tests.tuner.cli.test_light import imported_by
from tests.tuner.models.predicting import ONE_TRIAL
from tuner.models.inference import load_model
from tuner.models.keeping import KeptModel

SPACE = {"depth": 1, "width": 4, "learning_rate": 0.02, "optimizer": "adam"}


@pytest.fixture
def kept(tmp_path: Path, run: Run) -> str:
    """A model called cells, and new.csv and unlabelled.csv for it; returns what `tuner keep` said on stderr."""
    frame = churn(60)
    frame.write_csv(tmp_path / "all.csv")
    frame.head(3).write_csv(tmp_path / "new.csv")
    frame.head(3).drop("churned").write_csv(tmp_path / "unlabelled.csv")
    data = {"source": str(tmp_path / "all.csv"), "target": "churned"}
    results = studies.create(tmp_path, **ONE_TRIAL | {"data": data, "space": SPACE})
    studies.work(results)
    kept = run("keep", "quick", "--name", "cells")
    assert kept.exit_code == 0, kept.output
    return kept.stderr


def test_answers_are_csv_where_there_is_no_terminal_and_scores_stand_apart(kept: str, run: Run) -> None:
    done = run("predict", "cells", "new.csv")
    assert done.exit_code == 0
    head, *answers = done.stdout.splitlines()
    assert head == "churned"
    assert len(answers) == 3
    assert set(answers) <= {"yes", "no"}
    assert done.stderr.startswith("scores on 3 rows: accuracy ")
    assert run("predict", "cells", "unlabelled.csv").stdout == done.stdout
    assert run("predict", "cells", "unlabelled.csv").stderr == ""
    assert run("predict", "cells", "new.csv", "-q").stderr == ""


def test_new_rows_do_not_wait_for_what_only_training_needs(
    kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not imported_by("predict", "cells", "new.csv") & {"sklearn", "scipy", "pandas", "tuner.training.cohort"}


def test_every_form_says_the_same(kept: str, run: Run) -> None:
    wanted = list(csv.DictReader(io.StringIO(run("predict", "cells", "new.csv").stdout)))
    assert json.loads(run("predict", "cells", "new.csv", "-o", "json").stdout) == wanted
    assert yaml.safe_load(run("predict", "cells", "new.csv", "-o", "yaml").stdout) == wanted
    lines = run("predict", "cells", "new.csv", "-o", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == wanted
    assert run("predict", "cells", "new.csv", "-o", "table").stdout.split() == [
        "churned",
        *(r["churned"] for r in wanted),
    ]


def test_probabilities_add_up_and_the_datas_columns_stand_before(kept: str, run: Run) -> None:
    done = run("predict", "cells", "new.csv", "--probabilities", "--with-data", "-o", "json")
    for row, given in zip(json.loads(done.stdout), churn(60).head(3).to_dicts(), strict=True):
        assert list(row) == ["age", "spend", "plan", "churned", "predicted churned", "p(no)", "p(yes)"]
        assert (row["age"], row["plan"]) == (given["age"], given["plan"])
        assert row["p(no)"] + row["p(yes)"] == pytest.approx(1, abs=2e-6)
        assert row["predicted churned"] == ("yes" if row["p(yes)"] > 0.5 else "no")


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["12", "", "-3"], [12, None, -3]),
        (["0.5", "1e-3", "7"], [0.5, 0.001, 7.0]),
        (["True", "false", ""], [True, False, None]),
        (["007", "12", "3"], ["007", "12", "3"]),
        (["12345678901234567890", "1", "2"], ["12345678901234567890", "1", "2"]),
        (["1", "two", "3"], ["1", "two", "3"]),
        (["yes", "no", "no"], ["yes", "no", "no"]),
    ],
)
def test_columns_of_the_data_are_numbers_and_truth_values_in_json(
    kept: str, run: Run, tmp_path: Path, texts: list[str], values: list[object]
) -> None:
    frame = churn(3).drop("churned").insert_column(0, pl.Series("more", texts))
    frame.write_csv(tmp_path / "more.csv", quote_style="never")
    done = run("predict", "cells", "more.csv", "--with-data", "-o", "json")
    assert [row["more"] for row in json.loads(done.stdout)] == values
    lines = run("predict", "cells", "more.csv", "--with-data", "-o", "csv").stdout.splitlines()
    assert [line.split(",")[0] for line in lines] == ["more", *texts]


def test_programs_get_every_digit_and_people_as_many_as_they_read(kept: str, run: Run) -> None:
    command = ("predict", "cells", "new.csv", "--probabilities")
    whole = load_model("cells").predict("new.csv", probabilities=True)["p(yes)"].to_list()
    assert any(share != round(share, 12) for share in whole)
    readers: dict[str, Callable[[str], Any]] = {"json": json.loads, "yaml": yaml.safe_load}
    for form, read in readers.items():
        assert [row["p(yes)"] for row in read(run(*command, "-o", form).stdout)] == whole
    rows = csv.DictReader(io.StringIO(run(*command).stdout))
    assert [float(row["p(yes)"]) for row in rows] == whole
    _, *lines = run(*command, "-o", "table").stdout.splitlines()
    assert [line.split()[-1] for line in lines] == [f"{share:.6f}" for share in whole]


def test_a_table_may_come_by_a_pipe(kept: str, run: Run, tmp_path: Path) -> None:
    wanted = run("predict", "cells", "new.csv")
    piped = run("predict", "cells", "-", text=(tmp_path / "new.csv").read_text())
    assert (piped.exit_code, piped.stdout) == (0, wanted.stdout)
    rows = pl.read_csv(tmp_path / "new.csv")
    assert run("predict", "cells", "-", text=rows.write_ndjson()).stdout == wanted.stdout
    rows.write_parquet(tmp_path / "new.parquet")
    (tmp_path / "unnamed").write_bytes((tmp_path / "new.parquet").read_bytes())
    assert run("predict", "cells", "unnamed").stdout == wanted.stdout
    assert run("predict", "cells", "-", text="").stderr == "Error: standard input: is empty\n"
    assert run("predict", "cells", "-", text="age\n1\n").stderr.startswith("Error: standard input: columns 'spend', ")


def test_a_file_that_can_be_read_but_once_is_read_once(kept: str, run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text((tmp_path / "new.csv").read_text()))
    writer.start()
    assert run("predict", "cells", "pipe").stdout == run("predict", "cells", "new.csv").stdout
    writer.join()


@pytest.mark.parametrize(
    ("form", "printed"),
    [("csv", "churned,p(no),p(yes)\n"), ("json", "[]\n"), ("yaml", "[]\n"), ("jsonl", ""), ("table", None)],
)
def test_a_file_without_rows_has_a_head_without_answers(
    kept: str, run: Run, tmp_path: Path, form: str, printed: str | None
) -> None:
    (tmp_path / "none.csv").write_text("age,spend,plan\n")
    done = run("predict", "cells", "none.csv", "--probabilities", "-o", form)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == printed if printed is not None else done.stdout.split() == ["churned", "p(no)", "p(yes)"]


def test_a_row_without_an_answer_keeps_its_line(kept: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_text("age,spend,plan\n30,1,basic\ninf,1,basic\n,,\n")
    done = run("predict", "cells", "odd.csv", "--batch-size", "1")
    assert [row["churned"] == "" for row in csv.DictReader(io.StringIO(done.stdout))] == [False, True, False]
    assert done.stderr == "1 of 3 rows have no answer: row 2 ('age' is infinite)\n"


def test_a_file_without_an_answer_is_called_by_its_name(run: Run, tmp_path: Path) -> None:
    class_folders(tmp_path / "photos", count=6)
    data, space = {"source": str(tmp_path / "photos")}, {**PARAMS, "learning_rate": 0.01}
    studies.work(studies.create(tmp_path, **ONE_TRIAL | {"objective": {"name": "image"}, "data": data, "space": space}))
    assert run("keep", "quick").exit_code == 0
    (tmp_path / "photos" / "dots" / "003.png").write_bytes(b"no image")
    done = run("predict", "quick", "photos")
    assert "1 of 12 rows have no answer: dots/003.png (" in done.stderr
    assert "dots/003.png," in done.stdout.splitlines()


def test_what_training_had_nothing_like_is_answered_and_told_of(kept: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_text("age,spend,plan\n30,100.5,gold\nold,90,pro\n31,80,gold\n")
    done = run("predict", "cells", "odd.csv")
    assert len(done.stdout.splitlines()) == 4
    assert done.stderr.splitlines() == [
        "note: column 'age': 1 of 3 rows hold no number ('old'); they count as missing",
        "note: column 'plan': 2 of 3 rows hold a category that training had not ('gold')",
    ]


def test_a_category_that_no_row_has_is_told_even_to_one_who_asks_for_quiet(kept: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_text("age,spend,plan\n30,100.5,Basic\n40,90,Pro\n31,80,\n")
    done = run("predict", "cells", "odd.csv", "-q")
    assert len(done.stdout.splitlines()) == 4
    assert done.stderr == ("warning: column 'plan': 2 of 3 rows hold a category that training had not ('Basic')\n")
    (tmp_path / "one.csv").write_text("age,spend,plan\n30,100.5,Basic\n")
    assert run("predict", "cells", "one.csv", "-q").stderr == ""


def test_new_data_may_be_written_otherwise_than_that_of_training(kept: str, run: Run, tmp_path: Path) -> None:
    words = "age|spend|plan\n30|100.5|basic\n41|90|pro\n"
    (tmp_path / "other.csv").write_bytes(words.encode("utf-16-be"))
    wanted = run("predict", "cells", "other.csv", "-S", "data.encoding=utf-16-be", "-S", "data.delimiter=|")
    (tmp_path / "plain.csv").write_text(words.replace("|", ","))
    assert wanted.exit_code == 0, wanted.stderr
    assert wanted.stdout == run("predict", "cells", "plain.csv").stdout


def test_a_long_table_has_one_head(kept: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.cli.predict.ROWS_AT_ONCE", 2)
    churn(5).write_csv(tmp_path / "five.csv")
    assert [line for line in run("predict", "cells", "five.csv").stdout.splitlines() if line == "churned"] == [
        "churned"
    ]
    assert len(run("predict", "cells", "five.csv").stdout.splitlines()) == 6


def test_the_next_command_that_keep_names_works_as_printed(kept: str, run: Run) -> None:
    (line,) = (line for line in kept.splitlines() if line.startswith("  tuner"))
    arguments = line.partition("  what")[0].split()[1:]
    assert arguments == ["predict", "cells", "new.csv"]
    assert run(*arguments).exit_code == 0


def test_keep_says_that_a_trial_was_pruned(kept: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "pruned" not in kept
    model = KeptModel(
        name="cells",
        place="cells",
        trials=[6],
        pruned=[6],
        epochs_trained=0,
        scores={},
        alone=[{}],
        replaced_by_runs=False,
        source="",
        no_predictions="",
    )
    monkeypatch.setattr("tuner.study.keep", lambda *_, **__: model)
    assert run("keep", "quick", "--trial", "6").stderr.startswith("note: trial 6 was pruned: ")


def test_neither_the_storage_nor_the_folder_is_touched(kept: str, run: Run, tmp_path: Path) -> None:
    for path in tmp_path.glob("tuner.db*"):
        path.unlink()
    before = sorted(tmp_path.rglob("*"))
    assert run("predict", "tuner-models/cells", "new.csv").exit_code == 0
    assert run("predict", "cells", "new.csv", "--where", str(tmp_path / "tuner-models")).exit_code == 0
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sells", "new.csv"], "Error: there is no model 'sells' in "),
        (["cells", "nw.csv"], "Error: nw.csv: no such file; did you mean 'new.csv'?"),
        (["cells", "."], "is a folder; name a file"),
        (["cells", "new.csv", "--device", "cuda:99"], "Error: device 'cuda:99' is not there"),
        (["tuner-models/none", "new.csv"], "Error: 'tuner-models/none' is no model"),
        (["new.csv", "new.csv"], "Error: 'new.csv' is a file; a kept model is a folder"),
        (["cells"], "missing argument 'DATA'"),
        (["cells", "new.csv", "-S", "space.depth=2"], "-S space.depth=2: only how new data is read may be said of a"),
        (["cells", "new.csv", "-S", "data.encodin=cp437"], "unknown key 'encodin'; did you mean 'encoding'?"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(kept: str, run: Run, arguments: list[str], says: str) -> None:
    done = run("predict", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
