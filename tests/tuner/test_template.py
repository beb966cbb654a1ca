from __future__ import annotations

import tomllib

import pytest

from tuner.loading import LoadedTrainable, load_objective
from tuner.parsing import parse_parameter
from tuner.spec import parse_spec
from tuner.template import study_template, written

IRIS = {"source": "iris", "target": "species"}


def template() -> str:
    return study_template("mine", data=IRIS, file="mine.toml")


def disabled() -> list[str]:
    return [line for line in template().splitlines() if line.startswith("#") and line[1:2].isalpha()]


def test_a_template_is_a_study_of_defaults() -> None:
    spec = parse_spec(tomllib.loads(template()), where="mine.toml")
    assert spec == parse_spec({"name": "mine", "objective": {"name": "table"}, "data": IRIS}, where="plain")


def test_a_key_without_a_default_is_shown_by_an_example() -> None:
    assert "#first = [{learning_rate = 0.001}]  # an example" in disabled()
    assert "#least_rows = 1  # an example" in disabled()
    assert "#max_categories = 50" in disabled()


@pytest.mark.parametrize("line", disabled())
def test_every_default_that_is_shown_is_one(line: str) -> None:
    """A key that is enabled alone changes nothing, or (where there is no default) is a legal value."""
    text = template().replace(f"\n{line}\n", f"\n{line[1:]}\n", 1)
    assert text != template()
    spec = parse_spec(tomllib.loads(text), where="mine.toml")
    if any(key in line for key in ("validation", "test", "_file", "groups", "split_column")):
        return  # they exclude each other once they are written
    loaded = load_objective(spec, where="mine.toml")
    plain = load_objective(parse_spec(tomllib.loads(template()), where="mine.toml"), where="mine.toml")
    assert isinstance(loaded, LoadedTrainable)
    assert isinstance(plain, LoadedTrainable)
    assert loaded.space.to_json() == plain.space.to_json()


@pytest.mark.parametrize("value", ["1e-4..1e-1:log", "1..4", "16..256:log", "0..1:step=0.1", [1, 2], "adam", False])
def test_a_parameter_is_written_as_a_person_writes_it(value: object) -> None:
    parameter = parse_parameter(value)
    text = written(parameter)
    assert text is not None
    assert parse_parameter(tomllib.loads(f"x = {text}")["x"]) == parameter
    if isinstance(value, str):
        assert text == f'"{value}"'


def test_a_path_with_quotes_and_backslashes_survives() -> None:
    data = {"source": 'C:\\data\\my "new" table.csv', "target": ["a", "b,c"]}
    assert tomllib.loads(study_template("mine", data=data, file="mine.toml"))["data"] == data
