from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from tests.tuner.training.making import recipe
from tuner.training import MLP, Part, RecipeError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adm"}, "unknown optimizer 'adm'; did you mean 'adam'?"),
        ({"optimizer": "zzz"}, "unknown optimizer 'zzz'; choose one of gradient_descent, sgd"),
        ({"schedule": "cosin"}, "unknown schedule 'cosin'; did you mean 'cosine'?"),
        ({"learning_rate": 0.0}, "learning_rate must be a finite number above 0, got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be a finite number above 0, got nan"),
        ({"learning_rate": float("inf")}, "learning_rate must be a finite number above 0, got inf"),
        ({"learning_rate": "0.1"}, "learning_rate must be a finite number above 0, got '0.1'"),
        ({"epochs": 0}, "epochs must be a whole number of 1 or more, got 0"),
        ({"epochs": 2.5}, "epochs must be a whole number of 1 or more, got 2.5"),
        ({"epochs": True}, "epochs must be a whole number of 1 or more, got True"),
        ({"batch_size": -4}, "batch_size must be a whole number of 1 or more, got -4"),
        ({"seed": -1}, "seed must be a whole number of 0 or more, got -1"),
        ({"l1": -0.1}, "l1 must be a finite number of 0 or more, got -0.1"),
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1, got 1.0"),
        ({"beta2": 1.5}, "beta2 must be at least 0 and below 1, got 1.5"),
        ({"data_fraction": 0.0}, "data_fraction must be above 0 and at most 1, got 0.0"),
        ({"warmup": 1.1}, "warmup must be between 0 and 1, got 1.1"),
        ({"patience": 0}, "patience must be a whole number of 1 or more, got 0"),
        ({"gradient_clip": 0}, "gradient_clip must be a finite number above 0, got 0"),
        ({"nesterov": True}, "nesterov needs a momentum above 0"),
        ({"optimizer": "gradient_descent"}, "batch_size must be None, got 8; for batches choose the optimizer 'sgd'"),
    ],
    ids=str,
)
def test_an_impossible_recipe_is_refused_with_name_value_and_remedy(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe(**changes)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation": "rellu"}, "unknown activation 'rellu'; choose one of relu"),
        ({"normalization": "group"}, "unknown normalization 'group'; choose one of none, layer, batch"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"hidden": (4, 0)}, "at least one unit in every layer, got the widths (2, 4, 0, 2)"),
    ],
    ids=str,
)
def test_an_impossible_mlp_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        MLP(inputs=2, outputs=2, **changes)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Part(inputs=(torch.zeros(3),), targets=torch.zeros(4)), r"equally many samples, got \[3, 4\]"),
        (lambda: Part(inputs=(), targets=torch.zeros(4)), "at least one input"),
        (lambda: Part(inputs=(torch.zeros(0),), targets=torch.zeros(0)), "at least one sample"),
    ],
)
def test_parts_that_make_no_sense_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_recipes_can_be_read_without_torch() -> None:
    script = (
        "import sys; from tuner.training.recipe import Recipe; import tuner.training; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
