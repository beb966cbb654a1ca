from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tuner import study_file
from tuner.errors import SpecError, UsageError
from tuner.sources import read_spec
from tuner.spec import StudySpec, differences, parse_duration, parse_spec


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "[training.early_stopping]\npatince = 3",
            "study.toml [training.early_stopping]: unknown key 'patince'; did you mean 'patience'?",
        ),
        ("[trainig]\nepochs = 3", "study.toml: unknown key 'trainig'; did you mean 'training'?"),
        ("[training]\nepochs = 0", "study.toml [training]: epochs = 0: input should be greater than or equal to 1"),
        ("[training]\nepochs = 'many'", "epochs = 'many': input should be a valid integer"),
        ("[budget]\ntrials = -5", "trials = -5"),
        ("[budget]\ntimeout = 'soon'", "timeout = 'soon': a duration is written like"),
        ("name = '../etc/passwd'", "name = '../etc/passwd': a name holds"),
        ("seed = -1", "seed = -1"),
        ("[objective]\nname = 3", "[objective]: name = 3 must be"),
        ("epochs = [", "not valid TOML"),
    ],
)
def test_a_wrong_study_file_is_refused_with_file_key_value_and_remedy(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "study.toml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        read_spec(str(path))
    message = str(caught.value).replace(f"{tmp_path}/", "")
    assert line in message
    assert "\n" not in message


def test_toml_and_yaml_have_one_schema(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        '[space]\nl1 = "1e-6..1e-3:log"\nl2 = 1e-4\n[budget]\ntrials = 7\ntimeout = "1h30m"\n'
    )
    (tmp_path / "a.yaml").write_text("space: {l1: '1e-6..1e-3:log', l2: 1e-4}\nbudget: {trials: 7, timeout: 1h30m}\n")
    specs = [read_spec(str(tmp_path / name))[0] for name in ("a.toml", "a.yaml")]
    assert specs[0] == specs[1]
    assert specs[0].name == "a"
    assert specs[0].budget.timeout == 5400


def test_a_flag_wins_over_a_setting_and_a_setting_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text("seed = 1\n[budget]\ntrials = 1\n[training]\nepochs = 1\n")
    spec, _ = read_spec(
        str(path), settings=["training.epochs=2", "budget.trials=2"], changes={"budget.trials": 3, "seed": None}
    )
    assert (spec.seed, spec.training.epochs, spec.budget.trials) == (1, 2, 3)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-4..1e-1:log", "1e-4..1e-1:log"),
        ("3", 3),
        ("0.5", 0.5),
        ("true", True),
        ("adam,sgd", ["adam", "sgd"]),
        ("16,32", [16, 32]),
        ("['a', 'b']", ["a", "b"]),
        ("{low = 1, high = 2}", {"low": 1, "high": 2}),
        ("adam", "adam"),
        ("a=b", "a=b"),
    ],
)
def test_a_setting_is_read_as_a_person_means_it(written: str, value: Any) -> None:
    assert study_file.override({}, [f"space.x={written}"]) == {"space": {"x": value}}


@pytest.mark.parametrize("setting", ["space.x", "=3", ".x=3", "seed.x=3"])
def test_a_setting_that_names_no_key_is_refused(setting: str) -> None:
    with pytest.raises(UsageError, match="-S"):
        study_file.override({"seed": 1}, [setting])


@pytest.mark.parametrize(
    ("written", "seconds"), [(90, 90), ("90", 90), ("90s", 90), ("15m", 900), ("1h30m", 5400), ("1.5h", 5400)]
)
def test_a_duration_is_read(written: Any, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize("written", ["", "soon", "0", -1, "1d", True, None])
def test_a_duration_that_is_none_is_refused(written: Any) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(written)


def test_what_differs_from_the_stored_study_is_told_line_by_line() -> None:
    old = StudySpec(name="a", data={"source": "iris", "target": "species", "test_file": "a.csv"})
    data = {"source": "moved", "target": "kind", "test_file": "b.csv"}
    new = parse_spec({"name": "a", "data": data, "training": {"epochs": 9}, "budget": {"trials": 1}}, where="x")
    assert differences(old, new) == [
        "data.target: 'species' → 'kind'",
        "data.test_file: 'a.csv' → 'b.csv'",
        "training.epochs: 50 → 9",
    ]


def test_a_path_in_a_study_file_is_taken_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    (tmp_path / "study.toml").write_text("[data]\nsource = 'rows.csv'\ntarget = 'b'\n")
    spec, _ = read_spec(str(tmp_path / "study.toml"))
    assert spec.data["source"] == str(tmp_path / "rows.csv")


def test_a_missing_study_says_what_there_is() -> None:
    with pytest.raises(UsageError, match="did you mean 'digits'"):
        read_spec("digit")
    with pytest.raises(UsageError, match="no such study file"):
        read_spec("absent.toml")
    with pytest.raises(UsageError, match="--data FILE --target COLUMN"):
        read_spec(None)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("data (1).csv", "data 1"),
        ("churn.csv", "churn"),
        (".hidden.csv", "hidden"),
        ("Größe, neu.csv", "Größe neu"),
        ("((.csv", "study"),
    ],
)
def test_a_study_is_called_as_its_data_as_far_as_a_name_may_be(data: str, name: str) -> None:
    spec, _ = read_spec(None, data=data, target="y")
    assert spec.name == name


def test_a_file_of_python_alone_is_asked_for_its_objective(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("")
    with pytest.raises(UsageError, match=r"which function or class of it is to be tuned\? write .*mine.py:NAME"):
        read_spec(str(tmp_path / "mine.py"))
