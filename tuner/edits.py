"""The edit distance: how many tokens must be inserted, left out or replaced to make one sequence another."""

from __future__ import annotations

import torch
from torch import Tensor


def edit_distances(one: Tensor, one_lengths: Tensor, other: Tensor, other_lengths: Tensor) -> Tensor:
    """Return the Levenshtein distance of each pair of sequences ``[B]``.

    Wagner and Fischer's table ("The String-to-String Correction Problem", 1974), a row at a time for all pairs: the
    insertions along a row, each of which waits for the one before, are a running minimum.

    Shape:
        one ``[B, S]``, other ``[B, T]``, of which the first ``one_lengths``, ``other_lengths`` ``[B]`` tokens count.
    """
    columns = torch.arange(other.shape[1] + 1, device=other.device)
    row = columns.repeat(len(one), 1)
    distances = row
    for index in range(one.shape[1]):
        replaced = row[:, :-1] + (one[:, index : index + 1] != other)
        best = torch.cat([row[:, :1] + 1, torch.minimum(replaced, row[:, 1:] + 1)], 1)
        row = (best - columns).cummin(1).values + columns
        distances = torch.where((one_lengths == index + 1).unsqueeze(1), row, distances)
    return distances.gather(1, other_lengths.unsqueeze(1)).squeeze(1)
