"""The metrics of sequences: each against its definition in plain Python."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.tuner.test_edits import by_the_book
from tuner import metrics

MEMBERS, SAMPLES, TOKENS, VOCABULARY = 2, 12, 5, 3
NOBODY = -100


@pytest.fixture(scope="module")
def data() -> tuple[Tensor, Tensor]:
    """Outputs that are right more often than not; targets with padding at the end, in the middle, and nothing else."""
    torch.manual_seed(0)
    targets = torch.randint(VOCABULARY, (SAMPLES, TOKENS))
    outputs = torch.randn(MEMBERS, SAMPLES, TOKENS, VOCABULARY)
    outputs += 2.5 * torch.nn.functional.one_hot(targets, VOCABULARY)
    targets[0, 3:] = targets[1, 1] = targets[2] = NOBODY
    return outputs, targets


def expected(name: str, outputs: Tensor, targets: Tensor) -> float:
    over, under = 0.0, 0
    for logits, wanted in zip(outputs, targets, strict=True):
        asked = [t for t in range(TOKENS) if int(wanted[t]) != NOBODY]
        said, right = logits.argmax(-1)[asked].tolist(), wanted[asked].tolist()
        if name == "token_accuracy":
            over, under = over + sum(a == b for a, b in zip(said, right, strict=True)), under + len(right)
        elif name == "exact_match" and right:
            over, under = over + (said == right), under + 1
        elif name == "edit_distance":
            over, under = over + by_the_book(said, right), under + len(right)
        elif name == "perplexity":
            over -= sum(float(logits.log_softmax(-1)[t, wanted[t]]) for t in asked)
            under += len(right)
    return math.exp(over / under) if name == "perplexity" else over / under


@pytest.mark.parametrize("name", metrics.metric_names("sequence"))
def test_a_metric_is_its_definition_and_leaves_padding_out(name: str, data: tuple[Tensor, Tensor]) -> None:
    outputs, targets = data
    found = metrics.get(name)(outputs, targets)
    assert found.tolist() == pytest.approx([expected(name, member, targets) for member in outputs])
    assert len(set(found.tolist())) == MEMBERS


@pytest.mark.parametrize("name", metrics.metric_names("sequence"))
def test_the_sums_of_two_chunks_add_up(name: str, data: tuple[Tensor, Tensor]) -> None:
    outputs, targets = data
    metric = metrics.get(name)
    chunks = [metric.sums(outputs[:, rows], targets[rows]) for rows in (slice(0, 5), slice(5, None))]
    over, under = (sum(pair) for pair in zip(*chunks, strict=True))
    assert isinstance(over, Tensor)
    assert isinstance(under, Tensor)
    torch.testing.assert_close(metric.from_sums(over, under), metric(outputs, targets))


def test_a_part_in_which_nothing_is_asked_for_has_no_score() -> None:
    outputs, targets = torch.randn(1, 2, 3, 4), torch.full((2, 3), NOBODY)
    for name in metrics.metric_names("sequence"):
        assert metrics.get(name)(outputs, targets).isnan().all(), name


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"outputs \[M, N, T, V\].*got outputs \[2, 5, 3\] and targets \[2, 5\]"):
        metrics.get("perplexity")(torch.zeros(2, 5, 3), torch.zeros(2, 5, dtype=torch.long))
