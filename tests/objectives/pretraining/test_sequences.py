from __future__ import annotations

import pytest
import torch

from objectives.pretraining.sequences import NOTHING, Masking, next_tokens, windows
from objectives.text.tokenizers import BOS, EOS, MASK, PAD, SPECIAL

FIRST = len(SPECIAL)
ROWS = windows([[FIRST + i % 40 for i in range(start, start + 30)] for start in range(300)], 48)
MASKING = Masking(vocabulary=FIRST + 40, share=0.15)


def test_a_long_text_becomes_windows_that_hold_all_of_it() -> None:
    rows = windows([[7, 8, 9, 10, 11], []], 4)
    assert rows == [[BOS, 7, 8, 9], [BOS, 10, 11, EOS], [BOS, EOS]]


def test_from_left_to_right_each_place_is_asked_for_the_next_token() -> None:
    part = next_tokens([[BOS, 7, 8, EOS], [BOS, EOS]])
    assert part.inputs[0].tolist() == [[BOS, 7, 8], [BOS, EOS, PAD]]
    assert part.targets.tolist() == [[7, 8, EOS], [EOS, NOTHING, NOTHING]]


def test_of_the_tokens_15_percent_are_sought_and_of_these_80_are_masked_and_10_are_others() -> None:
    part = MASKING.part(ROWS, seed=1, anew=False)
    seen, sought = part.inputs[0], part.targets != NOTHING
    tokens = torch.where(sought, part.targets, seen)
    ordinary = tokens >= FIRST
    assert not sought[~ordinary].any()
    assert float(sought.sum() / ordinary.sum()) == pytest.approx(0.15, abs=0.01)
    assert float((seen[sought] == MASK).double().mean()) == pytest.approx(0.8, abs=0.03)
    assert float((seen[sought] == part.targets[sought]).double().mean()) == pytest.approx(0.1 + 0.1 / 40, abs=0.03)
    assert torch.equal(tokens, MASKING.part(ROWS, seed=2, anew=False).inputs[0].where(tokens < FIRST, tokens))


def test_what_is_judged_is_hidden_once_and_what_is_learned_from_anew() -> None:
    assert MASKING.part(ROWS, seed=1, anew=False).vary is None
    one, same = (MASKING.part(ROWS, seed=1, anew=True) for _ in range(2))
    assert torch.equal(one.inputs[0], same.inputs[0])
    chance = torch.Generator().manual_seed(5)
    assert one.vary is not None
    (first,), asked = one.vary(one.inputs, one.targets, chance)
    (second,), asked_then = one.vary(one.inputs, one.targets, chance)
    assert not torch.equal(first, second)
    whole = torch.where(one.targets == NOTHING, one.inputs[0], one.targets)
    for seen, sought in ((first, asked), (second, asked_then)):
        assert torch.equal(torch.where(sought == NOTHING, seen, sought), whole)
        assert seen.dtype == one.inputs[0].dtype
