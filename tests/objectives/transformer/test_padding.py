"""What is padding in every sequence of a batch is cut, and nothing else; many are read in groups of like length."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from objectives.transformer.padding import TOGETHER, by_length, without_padding

PAD = 7


def sequences(lengths: list[int], width: int) -> Tensor:
    """Numbers below PAD, of these lengths."""
    numbers = torch.full((len(lengths), width), PAD, dtype=torch.int32)
    for row, length in zip(numbers, lengths, strict=True):
        row[:length] = torch.randint(1, PAD, (length,))
    return numbers


@pytest.mark.parametrize(
    ("lengths", "width", "kept"),
    [([2, 5, 1], 9, 5), ([2, 5], 5, 5), ([0, 0], 4, 1), ([0, 3], 4, 3), ([], 4, 1), ([9, 29], 40, 32), ([29], 30, 30)],
)
def test_the_longest_sequence_says_how_many_columns_stay(lengths: list[int], width: int, kept: int) -> None:
    numbers = sequences(lengths, width)
    assert torch.equal(without_padding(numbers, PAD), numbers[:, :kept])


def test_fused_members_keep_all_columns_but_not_what_they_share() -> None:
    own, shared = torch.full((3, 2, 5), PAD), torch.full((2, 5), PAD)

    def cut(mine: Tensor, ours: Tensor) -> tuple[Tensor, Tensor]:
        return without_padding(mine, PAD), without_padding(ours, PAD)

    mine, ours = torch.vmap(cut, in_dims=(0, None))(own, shared)
    assert (mine.shape, ours.shape) == ((3, 2, 5), (3, 2, 1))


@pytest.mark.parametrize("count", [3, TOGETHER, 2 * TOGETHER + 3])
def test_what_is_read_in_groups_is_what_is_read_at_once(count: int) -> None:
    table, shapes = torch.randn(PAD + 1, 4, requires_grad=True), []

    def read(numbers: Tensor) -> Tensor:
        shapes.append(tuple(numbers.shape))
        return (table[numbers.long()] * (numbers != PAD).unsqueeze(-1)).sum(1).sin()

    numbers = sequences([1 + 5 * index % 12 for index in range(count)], 20)
    outputs = by_length(read, numbers, PAD)
    assert max(rows for rows, _ in shapes) <= TOGETHER
    assert [columns for _, columns in shapes] == sorted(columns for _, columns in shapes)
    whole = read(numbers)
    torch.testing.assert_close(outputs, whole)
    slopes = [torch.autograd.grad(one.square().sum(), table)[0] for one in (outputs, whole)]
    torch.testing.assert_close(*slopes)


def test_members_that_are_fused_read_what_they_share_in_groups() -> None:
    numbers, weights = sequences([1 + index % 9 for index in range(3 * TOGETHER)], 9), torch.randn(3, PAD + 1)
    fused = torch.vmap(lambda weight: by_length(lambda rows: weight[rows.long()].sum(1), numbers[:, :1], PAD))(weights)
    torch.testing.assert_close(fused, weights[:, numbers[:, 0].long()])
