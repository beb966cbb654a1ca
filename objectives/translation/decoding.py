"""Writing a translation with nobody there to say what is right: greedily, or with a beam.

A hypothesis of n tokens, its ``EOS`` included, is worth ``log P / ((5 + n) / 6)^α`` (Wu et al., "Google's Neural
Machine Translation System", 2016, equation 14): with a length penalty α of 0 the logarithm of its probability; the
larger α, the more a longer one is favoured.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from objectives.text.tokenizers import BOS, EOS, PAD
from objectives.transformer.continuation import Continuation


class EncoderDecoder(Protocol):
    """What can be decoded: see ``network.Transformer`` for the shapes."""

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Return the memory of the source, and where it is no padding."""

    def begin(self, memory: Tensor, memory_present: Tensor) -> Continuation:
        """Return the beginning of the targets."""

    def following(self, tokens: Tensor, before: Continuation) -> Tensor:
        """Return the logits of what follows one more token of each target."""


@torch.no_grad()
def greedy(model: EncoderDecoder, source: Tensor, *, longest: int) -> Tensor:
    """Write the likeliest next token again and again, to ``EOS`` or ``longest`` tokens.

    Shape:
        source ``[B, S]`` → the tokens written ``[B, L]`` with L ≤ longest, ``PAD`` after ``EOS``.
    """
    before = model.begin(*model.encode(source))
    tokens = source.new_full((len(source), 1), BOS)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(longest):
        following = _following(model, tokens[:, -1], before).argmax(-1)
        tokens = torch.cat([tokens, following.masked_fill(ended, PAD).unsqueeze(1)], 1)
        ended |= following == EOS
        if bool(ended.all()):
            break
    return tokens[:, 1:]


@torch.no_grad()
def beam(
    model: EncoderDecoder, source: Tensor, *, width: int, longest: int, length_penalty: float = 0.6
) -> tuple[Tensor, Tensor]:
    """Follow the ``width`` worthiest hypotheses of each source, to ``EOS`` or ``longest`` tokens; return the worthiest.

    A hypothesis that has ended keeps its place until worthier ones take it. With a width of 1 it is :func:`greedy`;
    with one as large as there are texts it finds the worthiest of all.

    Shape:
        source ``[B, S]`` → the tokens written ``[B, L]``, L ≤ longest, ``PAD`` after ``EOS``, and their worth ``[B]``.
    """
    memory, present = model.encode(source)
    before = model.begin(memory, present)
    sources = len(source)
    first = torch.arange(0, sources * width, width, device=source.device).unsqueeze(1)
    tokens = source.new_full((sources, width, 1), BOS)
    chances = memory.new_full((sources, width), -torch.inf)
    chances[:, 0] = 0.0  # all begin alike: the first tokens come from one of them
    lengths = torch.zeros_like(chances)
    ended = torch.zeros_like(chances, dtype=torch.bool)
    worth = chances
    for _ in range(longest):
        logits = _following(model, tokens[..., -1].flatten(), before)
        steps = _steps(logits.log_softmax(-1).view(sources, width, -1), ended)
        vocabulary = steps.shape[-1]
        lengths = lengths + (~ended).to(lengths.dtype)
        candidates = chances.unsqueeze(-1) + steps
        worth, places = (candidates / _penalty(lengths, length_penalty).unsqueeze(-1)).flatten(1).topk(width)
        parents, following = places // vocabulary, places % vocabulary
        chances = candidates.flatten(1).gather(1, places)
        lengths = lengths.gather(1, parents)
        ended = ended.gather(1, parents) | (following == EOS)
        kept = tokens.gather(1, parents.unsqueeze(-1).expand_as(tokens))
        tokens = torch.cat([kept, following.unsqueeze(-1)], -1)
        before.select((first + parents).flatten())
        if bool((ended | chances.isneginf()).all()):
            break
    return tokens[:, 0, 1:], worth[:, 0]


def _following(model: EncoderDecoder, tokens: Tensor, before: Continuation) -> Tensor:
    """Return the logits of the next token ``[B, V]``. Nothing follows by writing padding or another beginning."""
    logits = model.following(tokens, before)
    logits[:, [PAD, BOS]] = -torch.inf
    return logits


def _steps(chances: Tensor, ended: Tensor) -> Tensor:
    """Return the log probabilities ``[B, K, V]`` of the next tokens; what has ended goes on with ``PAD``, for free."""
    nothing = torch.full_like(chances[0, 0], -torch.inf)
    nothing[PAD] = 0.0
    return torch.where(ended.unsqueeze(-1), nothing, chances)


def _penalty(lengths: Tensor, strength: float) -> Tensor:
    return ((5.0 + lengths) / 6.0).pow(strength)
