"""Sequences are judged chunk by chunk, with the numbers of judging them at once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from tuner import metrics
from tuner.training import CrossEntropy, Loss, MeanSquaredError, Part
from tuner.training.data import Feed
from tuner.training.judging import FIRST_SAMPLES, judge

VOCABULARY = 4
SEQUENCE_METRICS = [metrics.get(name) for name in metrics.metric_names("sequence")]


@pytest.fixture
def part() -> Part:
    torch.manual_seed(0)
    targets = torch.randint(VOCABULARY, (FIRST_SAMPLES * 3 + 1, 5))
    targets[:, 3:] = torch.where(torch.rand(len(targets), 2) < 0.5, -100, targets[:, 3:])
    return Part(inputs=(torch.randn(len(targets), 5, VOCABULARY),), targets=targets)


class Echo:
    """Three members that answer what they are asked, in their own loudness; keeps how many samples came at once."""

    def __init__(self, loudness: tuple[float, ...] = (1.0, 2.0, 0.5)) -> None:
        self.loudness = torch.tensor(loudness).view(-1, 1, 1, 1)
        self.asked: list[int] = []

    def __call__(self, feeds: Sequence[Feed]) -> Tensor:
        self.asked.append(len(feeds[0]))
        assert isinstance(feeds[0], Tensor)
        return self.loudness * feeds[0]


@pytest.mark.parametrize(
    "loss",
    [
        CrossEntropy(ignore_index=-100),
        CrossEntropy(ignore_index=-100, label_smoothing=0.1, class_weights=(1.0, 2.0, 0.5, 3.0)),
    ],
)
def test_chunks_give_what_the_whole_gives(part: Part, loss: Loss, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.training.judging.CHUNK_BYTES", 20 * 3 * 5 * VOCABULARY * 4)
    echo = Echo()
    losses, scores = judge(echo, part, loss, SEQUENCE_METRICS)
    assert echo.asked == [16, 20, 13]
    outputs = echo(part.inputs)
    torch.testing.assert_close(losses, loss(outputs, part.targets.expand(3, -1, -1)))
    for metric, score in zip(SEQUENCE_METRICS, scores, strict=True):
        torch.testing.assert_close(score.float(), metric(outputs, part.targets).float())


def test_a_member_that_diverged_scores_nothing_and_its_neighbours_what_they_would(part: Part) -> None:
    loss = CrossEntropy(ignore_index=-100)
    losses, scores = judge(Echo((1.0, torch.nan, 0.5)), part, loss, SEQUENCE_METRICS)
    alone, scores_alone = judge(Echo((1.0, 1.0, 0.5)), part, loss, SEQUENCE_METRICS)
    assert losses.isnan().tolist() == [False, True, False]
    for one, same in zip([losses, *scores], [alone, *scores_alone], strict=True):
        assert one[1].isnan()
        torch.testing.assert_close(one[::2], same[::2])


def test_what_is_no_sum_is_judged_at_once() -> None:
    part = Part(inputs=(torch.randn(FIRST_SAMPLES * 2, 5, 1),), targets=torch.randn(FIRST_SAMPLES * 2, 5, 1))
    echo = Echo()
    judge(echo, part, MeanSquaredError(), [])
    assert echo.asked == [len(part)]


def test_a_loss_that_ignores_padding_is_the_mean_over_what_is_left_and_0_where_nothing_is() -> None:
    outputs = torch.randn(2, 3, 4, VOCABULARY, requires_grad=True)
    targets = torch.randint(VOCABULARY, (2, 3, 4))
    targets[0, :, 2:] = targets[1] = -100
    losses = CrossEntropy(ignore_index=-100, label_smoothing=0.1)(outputs, targets)
    plain = CrossEntropy(label_smoothing=0.1)(outputs[:1, :, :2], targets[:1, :, :2])
    torch.testing.assert_close(losses[0], plain[0])
    assert losses[1] == 0
    (slope,) = torch.autograd.grad(losses.sum(), outputs)
    assert not slope[1].any()
    assert not slope[0, :, 2:].any()
