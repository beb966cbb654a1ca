"""From texts to what a language model learns from: windows of tokens, and the tokens it is to find out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from objectives.text.hyperparameters import Kind
from objectives.text.tokenizers import BOS, EOS, MASK, PAD, SPECIAL, Tokenizer, padded
from tuner.training.data import Part
from tuner.training.randomness import derive

NOTHING = -100
"""The target of a token that is not to be found out."""
HIDDEN, CHANGED = 0.8, 0.1
"""Of the tokens to be found out so many are masked, and so many are another one; the rest stays as it is."""


@dataclass(frozen=True, kw_only=True)
class TokenizerKey:
    """What a trial's hyperparameters say of its tokens."""

    kind: Kind
    size: int
    lowercase: bool
    max_length: int

    @staticmethod
    def of(params: Mapping[str, Any]) -> TokenizerKey:
        """Return what the hyperparameters say."""
        return TokenizerKey(
            kind=params["tokenizer"],
            size=int(params["vocabulary"]),
            lowercase=bool(params["lowercase"]),
            max_length=int(params["max_length"]),
        )


def windows(tokens: Sequence[Sequence[int]], longest: int) -> list[list[int]]:
    """Return each text as windows of at most ``longest`` tokens: all begin with ``BOS``, the last ends with ``EOS``."""
    room = longest - 1
    found = []
    for text in tokens:
        whole = [*text, EOS]
        found += [[BOS, *whole[start : start + room]] for start in range(0, len(whole), room)]
    return found


def next_tokens(rows: Sequence[Sequence[int]]) -> Part:
    """Return windows as inputs ``[N, L]`` and, as targets, the token that follows at each place."""
    batch = padded(rows)
    targets = batch[:, 1:].clone()
    targets[targets == PAD] = NOTHING
    return Part(inputs=(batch[:, :-1].to(torch.int32),), targets=targets)


@dataclass(frozen=True, kw_only=True)
class Masking:
    """Which tokens of a text are hidden, and how (Devlin et al., "BERT", 2018, section 3.1)."""

    vocabulary: int
    share: float
    """Of the tokens that are to be found out; ``PAD``, ``BOS``, ``EOS`` and unknown ones never are."""

    def part(self, rows: Sequence[Sequence[int]], *, seed: int, anew: bool) -> Part:
        """Return windows as inputs ``[N, L]`` with tokens hidden, and these as targets ``[N, L]``.

        What is hidden follows from ``seed``, for the part to be judged by; with ``anew`` it is drawn again for each
        batch that is learned from.
        """
        whole = padded(rows)
        seen, targets = self.hide(whole, torch.Generator().manual_seed(seed))
        return Part(inputs=(seen.to(torch.int32),), targets=targets, vary=self.vary if anew else None)

    def hide(self, tokens: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return token numbers ``[B, L]`` with some hidden, and what these were (elsewhere ``NOTHING``)."""
        drawn = torch.rand(2, *tokens.shape, generator=chance).to(tokens.device)
        others = torch.randint(len(SPECIAL), self.vocabulary, tokens.shape, generator=chance).to(tokens)
        sought = (tokens >= len(SPECIAL)) & (drawn[0] < self.share)
        shown = torch.where(drawn[1] < HIDDEN, MASK, torch.where(drawn[1] < HIDDEN + CHANGED, others, tokens))
        return torch.where(sought, shown, tokens), torch.where(sought, tokens, NOTHING)

    def vary(
        self, inputs: tuple[Tensor, ...], targets: Tensor, chance: torch.Generator
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Uncover a batch and hide other tokens of it."""
        (seen,) = inputs
        now_seen, now_sought = self.hide(torch.where(targets == NOTHING, seen, targets), chance)
        return (now_seen.to(seen.dtype),), now_sought.to(targets.dtype)


def make_parts(
    texts: Mapping[str, Sequence[str]], tokenizer: Tokenizer, longest: int, *, masking: Masking | None, seed: int
) -> dict[str, Part]:
    """Return the texts of each part as a language model learns from them; without ``masking``, from left to right."""
    parts = {}
    for name, its in texts.items():
        rows = windows(tokenizer.tokens(its), longest)
        if masking is None:
            parts[name] = next_tokens(rows)
        else:
            parts[name] = masking.part(rows, seed=derive(seed, f"mask of {name}"), anew=name == "training")
    return parts
