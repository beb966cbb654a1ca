from __future__ import annotations

from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.errors import SpecError, UsageError
from tuner.hyperparameters import TRAINING, Hyperparameter, build_space
from tuner.parsing import parse_parameter
from tuner.space import Choices, Fixed, Parameter, Range, Space, widened


@pytest.mark.parametrize(
    ("written", "parameter"),
    [
        (3, Fixed(value=3)),
        ("adam", Fixed(value="adam")),
        (["adam"], Fixed(value="adam")),
        (["adam", "sgd"], Choices(choices=("adam", "sgd"))),
        ("1..4", Range(low=1, high=4, integer=True)),
        ("1e-4..1e-1:log", Range(low=1e-4, high=1e-1, log=True)),
        ("0..1.0:step=0.25", Range(low=0, high=1, step=0.25)),
        ("-1.5..2", Range(low=-1.5, high=2)),
        ({"low": 16, "high": 256, "log": True}, Range(low=16, high=256, log=True, integer=True)),
        ({"choices": [1, 2], "when": {"optimizer": "sgd"}}, Choices(choices=(1, 2), when={"optimizer": ("sgd",)})),
    ],
)
def test_a_parameter_is_read_as_a_person_means_it(written: Any, parameter: Any) -> None:
    assert parse_parameter(written) == parameter


def test_what_is_not_written_is_taken_from_the_default() -> None:
    default = Range(low=1e-4, high=1e-1, log=True, when={"optimizer": ("sgd",)})
    assert parse_parameter({"low": 1e-3}, default=default) == Range(
        low=1e-3, high=1e-1, log=True, when={"optimizer": ("sgd",)}
    )
    assert parse_parameter("1..10", default=default) == Range(low=1, high=10, log=True, when={"optimizer": ("sgd",)})
    assert parse_parameter("0..10:linear", default=default).to_json()["log"] is False
    assert parse_parameter(1, default=default) == Fixed(value=1.0, when={"optimizer": ("sgd",)})


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("4..1", "inverted"),
        ("1..1", "empty"),
        ("0..1:log", "above 0"),
        ("-1..1:log", "above 0"),
        ("1..4:lag", "'lag'"),
        ({"low": 1}, "both"),
        ({"low": 1, "hihg": 2}, "did you mean 'high'"),
        ({"low": "a", "high": 2}, "numbers"),
        ([], "empty"),
        ([1, 1], "twice"),
        ("1e-4..x", "'x' is not a number"),
        ({"low": 0.1, "high": 1.0, "log": True, "step": 0.1}, "no step"),
    ],
)
def test_a_range_that_cannot_be_searched_is_refused(written: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        parse_parameter(written)


@pytest.mark.parametrize(
    ("space", "line"),
    [
        (
            {"learning_rat": 1},
            "study.toml [space]: unknown hyperparameter 'learning_rat'; did you mean 'learning_rate'?",
        ),
        ({"optimizer": "adm"}, "unknown value 'adm'; did you mean 'adam'?"),
        ({"optimizer": "0..1"}, "it is one of a list"),
        ({"momentum": "0..1.5"}, "1.5 is above the greatest legal value"),
        ({"batch_size": [16, 0]}, "0 is below the least legal value 1"),
        ({"batch_size": [16, 2.5]}, "2.5 must be a whole number"),
        ({"learning_rate": "fast"}, "'fast' is not a number"),
        ({"l1": {"low": 0, "high": 1}}, "must start above 0"),
        ({"learning_rate": {"low": 1e-3, "high": 1e-2, "when": {"optimiser": "sgd"}}}, "did you mean 'optimizer'?"),
        (
            {"l1": {"low": 1e-3, "high": 1, "when": {"l2": 1}}, "l2": {"low": 1e-3, "high": 1, "when": {"l1": 1}}},
            "circle",
        ),
    ],
)
def test_a_space_names_the_key_the_value_and_the_remedy(space: dict[str, Any], line: str) -> None:
    with pytest.raises(SpecError) as caught:
        build_space(TRAINING, space, where="study.toml")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_of_ones_own_that_training_has_already_is_refused() -> None:
    mine = Hyperparameter(name="gamma", default=Fixed(value=2.0), description="of the focal loss")
    with pytest.raises(UsageError, match=r"'gamma' is declared twice \(of the focal loss; .*\); give one another name"):
        build_space([mine, *TRAINING], {}, where="test")


def test_a_parameter_of_one_choice_is_searched_there_only() -> None:
    space = build_space(TRAINING, {}, where="test")
    for seed in range(20):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        trial = study.ask()
        params = space.suggest(trial)
        assert ("momentum" in params) == (params["optimizer"] in {"sgd", "gradient_descent"})
        assert ("momentum" in trial.params) == ("momentum" in params)
        assert ("warmup" in params) == (params["schedule"] == "cosine")


def test_what_can_never_be_active_is_not_in_the_space() -> None:
    space = build_space(TRAINING, {"optimizer": "adam"}, where="test")
    assert "momentum" not in space
    assert "beta1" in space


def test_a_space_survives_being_stored() -> None:
    space = build_space(TRAINING, {"momentum": "0.5..0.9", "optimizer": ["sgd", "adam"]}, where="test")
    again = build_space(TRAINING, space.to_json(), where="test")
    assert again.parameters == space.parameters


def test_a_wider_space_may_go_on_and_a_narrower_may_not() -> None:
    old = Space({"a": Range(low=0.1, high=1.0), "b": Choices(choices=("x", "y")), "c": Fixed(value=1.0)})
    wider = Space({"a": Range(low=0.1, high=2.0), "b": Choices(choices=("x", "y")), "c": Range(low=0.5, high=2.0)})
    assert not widened(old, wider)
    narrower = Space({"a": Range(low=0.2, high=1.0), "b": Choices(choices=("x", "y", "z")), "c": Fixed(value=2.0)})
    assert [line.split(":")[0] for line in widened(old, narrower)] == ["space.a", "space.b", "space.c"]


def test_what_a_study_cannot_go_on_with_says_why() -> None:
    old = build_space(TRAINING, {"optimizer": "adam"}, where="test")
    assert "space.momentum: absent → 0..0.99 (it comes with optimizer, whose values must stay)" in widened(
        old, build_space(TRAINING, {"optimizer": ["adam", "sgd"]}, where="test")
    )
    assert widened(Space({"a": Choices(choices=("x", "y"))}), Space({"a": Choices(choices=("x", "z"))})) == [
        "space.a: ['x', 'y'] → ['x', 'z'] (a list of choices stays as it is)"
    ]


def test_a_grid_covers_choices_and_short_ranges_in_full() -> None:
    space = Space(
        {
            "a": Choices(choices=("x", "y")),
            "b": Range(low=1, high=2, integer=True),
            "c": Range(low=0.001, high=0.1, log=True),
            "d": Fixed(value=1),
        }
    )
    grid = space.grid(points=3)
    assert grid["a"] == ["x", "y"]
    assert grid["b"] == [1, 2]
    assert grid["c"] == pytest.approx([0.001, 0.01, 0.1])
    assert "d" not in grid


@pytest.mark.parametrize(
    ("written", "value", "taken"),
    [
        ("0..2.0", 1, 1.0),
        ("1..4", 3.0, 3),
        ("0..0.5:step=0.1", 0.3, pytest.approx(0.3)),
        ([16, 32], 32.0, 32),
        ([None, "balanced"], "None", None),
        ([1, True], True, True),
        ("adam", "adam", "adam"),
    ],
)
def test_a_value_is_taken_as_it_is_drawn(written: Any, value: Any, taken: Any) -> None:
    got = parse_parameter(written).take(value)
    assert got == taken
    assert type(got) is type(taken) or isinstance(got, float)


@given(st.floats(-1e3, 1e3), st.floats(0.1, 1e3), st.floats(0.01, 1e3) | st.none(), st.floats(-1e4, 1e4))
def test_the_nearest_number_of_a_range_is_one_that_it_draws(
    low: float, length: float, step: float | None, value: float
) -> None:
    parameter = Range(low=low, high=low + length, step=step)
    nearest = parameter.nearest(value)
    assert parameter.low <= nearest <= parameter.high
    assert parameter.nearest(nearest) == pytest.approx(nearest)
    assert abs(nearest - value) <= min(abs(low - value), abs(low + length - value)) + (step or 0) + 1e-9


@given(st.floats(1e-9, 1e3), st.floats(1.001, 1e6), st.booleans())
def test_a_range_contains_itself_and_survives_json(low: float, factor: float, log: bool) -> None:
    parameter = Range(low=low, high=low * factor, log=log)
    assert parameter.contains(parameter)
    assert parse_parameter(parameter.to_json(), default=parameter) == parameter


@pytest.mark.parametrize(
    ("fixed", "wider", "allowed"),
    [
        (Fixed(value=2), Range(low=1, high=4, integer=True), True),
        (Fixed(value=1.5), Range(low=1, high=4, integer=True), False),
        (Fixed(value=True), Range(low=0, high=3, integer=True), False),
        (Fixed(value=0.25), Range(low=0, high=1, step=0.1), False),
        (Fixed(value=0.3), Range(low=0, high=1, step=0.1), True),
        (Fixed(value=1), Choices(choices=(True, "x")), False),
        (Fixed(value="x"), Choices(choices=(True, "x")), True),
        (Fixed(value=0.5), Range(low=0, high=1, when={"b": ("x",)}), False),
        (Fixed(value=0.5, when={"b": ("x",)}), Range(low=0, high=1, when={"b": ("x",)}), True),
    ],
)
def test_a_fixed_value_may_be_searched_where_it_can_be_drawn(fixed: Fixed, wider: Parameter, allowed: bool) -> None:
    other = Choices(choices=("x", "y"))
    assert (not widened(Space({"a": fixed, "b": other}), Space({"a": wider, "b": other}))) is allowed
