"""Every metric agrees with scikit-learn, for many members at once."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from tuner.errors import UsageError
from tuner.metrics import METRICS, default_metric, get, metric_names
from tuner.scores import confusion_matrix

Array = np.ndarray[Any, Any]


def sklearn_fpr(targets: Array, called: Array, average: str) -> float:
    labels = np.union1d(targets, called)
    per_class, over, under, weights = [], 0, 0, []
    for label in labels:
        wrong = int(((called == label) & (targets != label)).sum())
        negatives = int((targets != label).sum())
        per_class.append(wrong / negatives if negatives else 0.0)
        over, under = over + wrong, under + negatives
        weights.append(int((targets == label).sum()))
    if average == "micro":
        return over / under if under else 0.0
    if average == "weighted":
        return float(np.average(per_class, weights=weights))
    return float(np.mean(per_class))


def expected_classification(name: str, logits: Array, targets: Array) -> float:
    called = logits.argmax(-1)
    classes = logits.shape[-1]
    base, _, average = name.partition("_")
    if name == "accuracy":
        return float(sk.accuracy_score(targets, called))
    if name == "balanced_accuracy":
        return float(sk.balanced_accuracy_score(targets, called))
    if name == "log_loss":
        probabilities = torch.from_numpy(logits).double().softmax(-1).numpy()
        return float(sk.log_loss(targets, probabilities, labels=np.arange(classes)))
    if base == "fpr" and not average and classes == 2:
        negatives = (targets == 0).sum()
        return float(((targets == 0) & (called == 1)).sum() / negatives) if negatives else 0.0
    if base == "fpr":
        return sklearn_fpr(targets, called, average or "macro")
    function: Callable[..., Any] = {
        "precision": sk.precision_score,
        "recall": sk.recall_score,
        "f1": sk.f1_score,
    }[base]
    chosen = average or ("binary" if classes == 2 else "macro")
    if chosen == "binary":
        return float(function(targets, called, average="binary", pos_label=1, zero_division=0, labels=[0, 1]))
    return float(function(targets, called, average=chosen, zero_division=0))


def expected_regression(name: str, outputs: Array, targets: Array) -> float:
    function: Callable[..., Any] = {
        "rmse": sk.root_mean_squared_error,
        "mse": sk.mean_squared_error,
        "mae": sk.mean_absolute_error,
        "r2": sk.r2_score,
        "median_absolute_error": sk.median_absolute_error,
    }[name]
    return float(function(targets, outputs))


COUNTED = [name for name in metric_names("classification") if name != "roc_auc"]


@st.composite
def classified(draw: st.DrawFn) -> tuple[Array, Array]:
    """Logits on a coarse grid, so that there are ties, and targets that may leave classes out."""
    members, rows, classes = draw(st.integers(1, 4)), draw(st.integers(1, 30)), draw(st.integers(2, 5))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = generator.integers(-3, 4, (members, rows, classes)).astype(np.float32) * draw(st.sampled_from([0.5, 3.0]))
    targets = generator.integers(0, draw(st.integers(1, classes)), rows)
    return logits.astype(np.float32), targets


@settings(max_examples=25, deadline=None)
@given(classified())
def test_classification_metrics_agree_with_scikit_learn_whatever_classes_are_absent(
    data: tuple[Array, Array],
) -> None:
    logits, targets = data
    outputs, classes = torch.from_numpy(logits), torch.from_numpy(targets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of absent classes
        for name in COUNTED:
            found = get(name)(outputs, classes)
            assert found.shape == (len(logits),)
            expected = [expected_classification(name, member, targets) for member in logits]
            np.testing.assert_allclose(found.numpy(), expected, atol=1e-6, err_msg=name)
        matrices = confusion_matrix(outputs, classes).numpy()
        labels = np.arange(logits.shape[-1])
        for found_matrix, member in zip(matrices, logits, strict=True):
            np.testing.assert_array_equal(found_matrix, sk.confusion_matrix(targets, member.argmax(-1), labels=labels))


@settings(max_examples=25, deadline=None)
@given(classified())
def test_roc_auc_agrees_with_scikit_learn_with_ties(data: tuple[Array, Array]) -> None:
    logits, targets = data
    classes = logits.shape[-1]
    targets[:classes] = np.arange(classes)[: len(targets)]
    found = get("roc_auc")(torch.from_numpy(logits), torch.from_numpy(targets)).numpy()
    if len(targets) <= classes:
        return
    for value, member in zip(found, logits, strict=True):
        if classes == 2:
            expected = sk.roc_auc_score(targets, member[:, 1] - member[:, 0])
        else:
            probabilities = torch.from_numpy(member).double().softmax(-1).numpy()
            expected = sk.roc_auc_score(targets, probabilities, multi_class="ovr")
        assert value == pytest.approx(expected, abs=1e-9)


def test_roc_auc_of_all_equal_scores_is_one_half() -> None:
    assert get("roc_auc")(torch.zeros(1, 4, 2), torch.tensor([0, 1, 1, 0])).item() == 0.5


def test_roc_auc_leaves_out_classes_without_rows_and_is_nan_when_only_one_class_is_there() -> None:
    outputs = torch.tensor([[[2.0, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.5]]])
    assert get("roc_auc")(outputs, torch.tensor([0, 1, 0])).item() == 1.0
    assert get("roc_auc")(outputs, torch.tensor([1, 1, 1])).isnan().all()


@settings(max_examples=25, deadline=None)
@given(
    members=st.integers(1, 4),
    rows=st.integers(2, 40),
    columns=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
    constant=st.booleans(),
)
def test_regression_metrics_agree_with_scikit_learn(
    members: int, rows: int, columns: int, seed: int, constant: bool
) -> None:
    generator = np.random.default_rng(seed)
    targets = (generator.normal(150, 80, (rows, columns))).astype(np.float32)
    outputs = (targets + generator.normal(0, 30, (members, rows, columns))).astype(np.float32)
    if constant:
        targets[:, 0] = 5.0
        outputs[0] = targets
    for name in metric_names("regression"):
        found = get(name)(torch.from_numpy(outputs), torch.from_numpy(targets))
        expected = [
            expected_regression(name, member.astype(np.float64), targets.astype(np.float64)) for member in outputs
        ]
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-6, err_msg=name)


def test_a_member_with_nan_outputs_scores_nan_and_its_neighbours_do_not() -> None:
    outputs = torch.randn(3, 6, 2)
    outputs[1, 4, 0] = torch.nan
    classes = torch.tensor([0, 1, 0, 1, 0, 1])
    numbers = torch.randn(6, 2)
    tokens = torch.tensor([[0, 1, -100]] * 6)
    for metric in METRICS:
        if metric.task == "sequence":
            found = metric(outputs.unsqueeze(2).expand(3, 6, 3, 2), tokens)
        else:
            found = metric(outputs, classes if metric.task == "classification" else numbers)
        assert found.isnan().tolist() == [False, True, False], metric.name


def test_each_member_may_have_its_own_targets() -> None:
    outputs, targets = torch.randn(3, 10, 4), torch.randint(0, 4, (3, 10))
    for name in metric_names("classification"):
        metric = get(name)
        apart = torch.cat([metric(outputs[i : i + 1], targets[i]) for i in range(3)])
        torch.testing.assert_close(metric(outputs, targets), apart, equal_nan=True)


def test_shapes_that_do_not_fit_are_refused_with_what_was_expected_and_what_came() -> None:
    with pytest.raises(ValueError, match=r"targets \[N\] or \[M, N\]; got outputs \[2, 5, 3\] and targets \[4\]"):
        get("accuracy")(torch.zeros(2, 5, 3), torch.zeros(4, dtype=torch.long))
    with pytest.raises(ValueError, match=r"got outputs \[2, 5, 3\] and targets \[5\]"):
        get("rmse")(torch.zeros(2, 5, 3), torch.zeros(5))


def test_a_single_target_may_come_without_its_axis() -> None:
    outputs, targets = torch.randn(2, 5, 1), torch.randn(5)
    torch.testing.assert_close(get("mae")(outputs, targets), get("mae")(outputs, targets.unsqueeze(-1)))


def test_names_are_found_by_alias_and_whatever_their_case() -> None:
    assert get("AUC").name == "roc_auc"
    assert get("balanced-accuracy").name == "balanced_accuracy"
    assert get("F1 macro").name == "f1_macro"


def test_an_unknown_metric_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="unknown metric 'acuracy'; did you mean 'accuracy'"):
        get("acuracy")
    with pytest.raises(UsageError, match="known: rmse, mse, mae, r2"):
        get("xyzzy", task="regression")


def test_a_metric_of_the_other_task_is_refused_with_the_right_ones() -> None:
    with pytest.raises(UsageError, match="metric 'r2' is for regression, but the task is classification; choose"):
        get("r2", task="classification")


def test_directions_are_known_and_better_follows_them() -> None:
    least = {metric.name for metric in METRICS if metric.direction == "minimize"}
    fprs = {"fpr", "fpr_macro", "fpr_micro", "fpr_weighted"}
    sequences = {"edit_distance", "perplexity"}
    assert least == fprs | sequences | {"log_loss", "rmse", "mse", "mae", "median_absolute_error"}
    assert get("accuracy").better(0.9, 0.8)
    assert get("rmse").better(1.0, 2.0)
    assert not get("rmse").better(float("nan"), 2.0)
    assert default_metric("classification").name == "accuracy"
    assert default_metric("regression").name == "rmse"
    assert default_metric("sequence").name == "token_accuracy"


def test_knowing_the_metrics_does_not_import_torch() -> None:
    code = "import sys, tuner.metrics; assert not {'torch', 'sklearn', 'numpy', 'polars'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
