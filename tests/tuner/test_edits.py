"""The edit distance is that of the textbook."""

from __future__ import annotations

from functools import cache

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner.edits import edit_distances

TOKENS = st.lists(st.integers(0, 3), max_size=7)


def by_the_book(one: list[int], other: list[int]) -> int:
    @cache
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        return min(
            distance(i - 1, j) + 1, distance(i, j - 1) + 1, distance(i - 1, j - 1) + (one[i - 1] != other[j - 1])
        )

    return distance(len(one), len(other))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(TOKENS, TOKENS), min_size=1, max_size=6))
def test_it_is_the_recursive_definition_whatever_the_lengths(pairs: list[tuple[list[int], list[int]]]) -> None:
    tables = []
    for side in range(2):
        lengths = [len(pair[side]) for pair in pairs]
        table = torch.full((len(pairs), max(lengths)), 2)  # what lies beyond a sequence's end counts for nothing
        for row, pair in enumerate(pairs):
            table[row, : len(pair[side])] = torch.tensor(pair[side], dtype=torch.long)
        tables += [table, torch.tensor(lengths)]
    assert edit_distances(*tables).tolist() == [by_the_book(*pair) for pair in pairs]
