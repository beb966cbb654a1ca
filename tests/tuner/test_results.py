"""A study as it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import create_trial

import tuner
from tuner import attributes


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/tuner.db"


def add(url: str, direction: Any, rows: list[tuple[float, Any, Any]]) -> None:
    study = optuna.create_study(study_name="s", storage=url, direction=direction)
    for value, training, validation in rows:
        noted = {attributes.TRAINING: training, attributes.VALIDATION: validation}
        study.add_trial(create_trial(value=value, user_attrs=noted))


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1.0), ("minimize", -1.0)])
def test_of_equal_values_low_losses_on_both_parts_are_the_best(url: str, direction: str, sign: float) -> None:
    rows: list[Any] = [
        (0.9, {"loss": 0.01}, {"loss": 0.02}),
        (1.0, None, {"loss": 0.1}),
        (1.0, {"loss": 1.9}, {"loss": 0.0001}),
        (1.0, {"loss": 0.2}, {"loss": 0.3}),
        (1.0, {"loss": 0.0001}, {"loss": 1.5}),
    ]
    add(url, direction, [(sign * value, *losses) for value, *losses in rows])
    results = tuner.load("s", storage=url)
    assert [row.number for row in results.best(5)] == [3, 4, 2, 1, 0]
    assert [row.number for row in results.trials(sort="value")] == [3, 4, 2, 1, 0]
    assert [row.number for row in results.status().best] == [3]


def test_trials_that_know_no_losses_stay_in_their_order(url: str) -> None:
    add(url, "minimize", [(1.0, "nothing", 5), (0.5, None, None), (0.5, None, None)])
    assert [row.number for row in tuner.load("s", storage=url).best(3)] == [1, 2, 0]
