"""What is padding in every sequence of a batch is cut, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from objectives.transformer.padding import without_padding

PAD = 7


@pytest.mark.parametrize(
    ("lengths", "width", "kept"), [([2, 5, 1], 9, 5), ([2, 5], 5, 5), ([0, 0], 4, 1), ([0, 3], 4, 3), ([], 4, 1)]
)
def test_the_longest_sequence_says_how_many_columns_stay(lengths: list[int], width: int, kept: int) -> None:
    numbers = torch.full((len(lengths), width), PAD, dtype=torch.int32)
    for row, length in zip(numbers, lengths, strict=True):
        row[:length] = 3
    assert torch.equal(without_padding(numbers, PAD), numbers[:, :kept])


def test_fused_members_keep_all_columns_but_not_what_they_share() -> None:
    own, shared = torch.full((3, 2, 5), PAD), torch.full((2, 5), PAD)

    def cut(mine: Tensor, ours: Tensor) -> tuple[Tensor, Tensor]:
        return without_padding(mine, PAD), without_padding(ours, PAD)

    mine, ours = torch.vmap(cut, in_dims=(0, None))(own, shared)
    assert (mine.shape, ours.shape) == ((3, 2, 5), (3, 2, 1))
