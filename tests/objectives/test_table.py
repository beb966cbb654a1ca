"""A table as an objective: what the engine gets, and what people are told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from objectives.tables import Table
from objectives.tables.datasets import NAMES
from objectives.tables.table import NETWORK
from tests.objectives.tables_kit import churn, make_table, messy
from tuner.metrics import get, metric_names
from tuner.training.activations import ACTIVATIONS
from tuner.training.losses import CrossEntropy, Huber, MeanAbsoluteError, MeanSquaredError
from tuner.training.mlp import MLP, NORMALIZATIONS

PARAMS: dict[str, Any] = {"depth": 2, "width": 16, "activation": "relu", "dropout": 0.0, "normalization": "none"}


@pytest.fixture
def churn_file(tmp_path: Path) -> str:
    churn().write_csv(tmp_path / "churn.csv")
    return str(tmp_path / "churn.csv")


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "metric"),
    [
        ("iris", 4, 3, "accuracy"),
        ("wine", 13, 3, "accuracy"),
        ("breast_cancer", 30, 2, "accuracy"),
        ("digits", 60, 10, "accuracy"),
        ("diabetes", 10, 1, "rmse"),
        ("linnerud", 3, 3, "rmse"),
    ],
)
def test_every_built_in_data_set_loads_and_fits_its_network(name: str, inputs: int, outputs: int, metric: str) -> None:
    table = make_table(source=name)
    data = table.load()
    assert data.test is not None
    assert data.training.inputs[0].shape == (len(data.training), inputs)
    assert data.training.inputs[0].dtype == torch.float32
    network = table.network(PARAMS)
    assert isinstance(network, MLP)
    found = network(*data.validation.inputs)
    assert found.shape == (len(data.validation), outputs)
    assert table.loss(PARAMS)(found[None], data.validation.targets[None]).isfinite().all()
    assert table.metric_names() == [metric]
    score = table.metrics()[0](table.decode(found[None]), table.decode(data.validation.targets))
    assert score.shape == (1,)
    assert score.isfinite().all()
    json.dumps(table.describe(), allow_nan=False)


def test_the_names_of_the_built_in_data_sets_are_all_tested() -> None:
    assert NAMES == ("iris", "wine", "breast_cancer", "digits", "diabetes", "linnerud")


def test_a_messy_table_needs_no_preparation(tmp_path: Path) -> None:
    messy().write_csv(tmp_path / "messy.csv")
    table = make_table(source=str(tmp_path / "messy.csv"), target="left")
    data = table.load()
    kinds = {column["name"]: column["kind"] for column in table.describe()["columns"]}
    assert [kinds[f"category {i}"] for i in range(12)] == ["category"] * 12
    assert kinds["signed up"] == "date"
    assert [kinds[name] for name in ("income", "share", "visits")] == ["number"] * 3
    assert [kinds[name] for name in ("customer_id", "constant", "empty", "remark")] == ["unused"] * 4
    for part in (data.training, data.validation, data.test):
        assert part is not None
        assert part.inputs[0].isfinite().all()


def test_a_network_learns_from_the_messy_table(tmp_path: Path) -> None:
    messy().write_csv(tmp_path / "messy.csv")
    table = make_table(source=str(tmp_path / "messy.csv"), target="left")
    data, loss = table.load(), table.loss(PARAMS)
    torch.manual_seed(0)
    network = table.network(PARAMS)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1.0)
    for _ in range(60):
        optimizer.zero_grad()
        loss(network(*data.training.inputs)[None], data.training.targets[None]).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    accuracy = get("accuracy")(network.eval()(*data.validation.inputs)[None], data.validation.targets)
    assert accuracy.item() > 0.75


def test_regression_scores_are_in_the_units_of_the_target(tmp_path: Path) -> None:
    table = make_table(source="linnerud", target=["Weight", "Waist", "Pulse"])
    data = table.load()
    assert data.training.targets.std(0, correction=0).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    decoded = table.decode(data.training.targets)
    assert decoded.mean(0).tolist() == pytest.approx([178, 35, 56], rel=0.1)
    outputs = torch.zeros(2, len(data.validation), 3)
    (error, again) = get("mae")(table.decode(outputs), table.decode(data.validation.targets))
    expected = (table.decode(data.validation.targets) - decoded.mean(0)).abs().mean()
    assert error.item() == pytest.approx(expected.item(), rel=1e-5)
    assert again == error


def test_outputs_of_classes_are_decoded_to_themselves(churn_file: str) -> None:
    table = make_table(source=churn_file, target="churned")
    table.load()
    outputs = torch.randn(2, 5, 2)
    assert table.decode(outputs) is outputs


def test_balanced_class_weights_are_scikit_learns_on_the_training_part(churn_file: str) -> None:
    table = make_table({"class_weights": "balanced", "label_smoothing": 0.1}, source=churn_file, target="plan")
    targets = table.load().training.targets.numpy()
    loss = table.loss(PARAMS)
    assert isinstance(loss, CrossEntropy)
    assert loss.class_weights == pytest.approx(compute_class_weight("balanced", classes=np.arange(3), y=targets))
    assert loss.label_smoothing == 0.1


def test_class_weights_can_be_given_by_class(churn_file: str) -> None:
    table = make_table({"class_weights": {"yes": 3.0}}, source=churn_file, target="churned")
    table.load()
    assert table.loss(PARAMS) == CrossEntropy(class_weights=(1.0, 3.0))


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("auto", MeanSquaredError()),
        ("mse", MeanSquaredError()),
        ("mae", MeanAbsoluteError()),
        ("huber", Huber(delta=2.0)),
    ],
)
def test_losses_of_regression_are_chosen_by_name(name: str, loss: object) -> None:
    table = make_table({"loss": name, "huber_delta": 2.0}, source="diabetes")
    table.load()
    assert table.loss(PARAMS) == loss


def test_several_metrics_can_be_asked_for_by_alias(churn_file: str) -> None:
    table = make_table({"metric": ["AUC", "fpr"]}, source=churn_file, target="churned")
    table.load()
    assert [(metric.name, metric.direction) for metric in table.metrics()] == [
        ("roc_auc", "maximize"),
        ("fpr", "minimize"),
    ]


def test_depth_zero_is_a_linear_model(churn_file: str) -> None:
    table = make_table(source=churn_file, target="churned")
    table.load()
    network = table.network(PARAMS | {"depth": 0})
    assert [list(parameter.shape) for parameter in network.parameters()] == [[2, 5], [2]]


def test_a_hidden_layer_is_as_deep_as_its_normalization(churn_file: str) -> None:
    table = make_table(source=churn_file, target="churned")
    table.load()
    layers = table.layers(table.network(PARAMS | {"normalization": "batch"}))
    hidden = [[f"{part}.{i}.{name}" for part in ("layers", "norms") for name in ("weight", "bias")] for i in range(2)]
    assert layers == [*hidden, ["layers.2.weight", "layers.2.bias"]]


def test_two_workers_see_the_same_data_and_another_seed_other_rows(churn_file: str) -> None:
    one, two, other = (make_table(source=churn_file, target="churned", seed=seed).load() for seed in (3, 3, 4))
    assert torch.equal(one.training.inputs[0], two.training.inputs[0])
    assert not torch.equal(one.training.inputs[0], other.training.inputs[0])


def test_what_was_inferred_is_told(churn_file: str) -> None:
    table = make_table(source=churn_file, target="churned", drop=["age"])
    table.load()
    told = table.describe()
    assert told["source"] == "churn.csv"
    assert told["rows"] == {"training": 120, "validation": 40, "test": 40}
    assert told["target"]["task"] == "classification"
    assert told["target"]["positive"] == "yes"
    assert {part: sum(counts.values()) for part, counts in told["target"]["classes"].items()} == told["rows"]
    assert told["inputs"] == 4
    assert [(column["name"], column["kind"], column["features"]) for column in told["columns"]] == [
        ("spend", "number", 1),
        ("plan", "category", 3),
    ]


def test_the_description_of_metric_names_every_metric() -> None:
    described = Table.Options.model_fields["metric"].description or ""
    for name in (*metric_names("classification"), *metric_names("regression")):
        assert name.removesuffix("_macro").removesuffix("_micro").removesuffix("_weighted") in described


def test_the_space_names_only_what_the_engine_knows() -> None:
    choices = {hyper.name: hyper.choices for hyper in NETWORK}
    assert choices["activation"] == tuple(ACTIVATIONS)
    assert set(choices["normalization"] or ()) == set(NORMALIZATIONS)
    names = [hyper.name for hyper in make_table(source="iris").hyperparameters()]
    assert names[:5] == ["learning_rate", "depth", "width", "activation", "dropout"]
    assert len(set(names)) == len(names)


def test_importing_the_objective_imports_no_torch() -> None:
    code = "import sys, objectives.tables; assert not {'torch', 'sklearn', 'numpy', 'polars'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
