"""A trained network and its tokenizers, put to use: texts in, translations out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from objectives.text.tokenizers import PAD, Tokenizer
from objectives.translation import decoding
from objectives.translation.encoding import Seen

if TYPE_CHECKING:
    from objectives.translation.network import Transformer
    from tuner.training import Dataset

TEXTS_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class Translator:
    """Translates texts.

    >>> translator = Translator.of(module, dataset)  # doctest: +SKIP
    >>> translator(["tuner"])  # doctest: +SKIP
    ['T UW N ER']
    """

    module: Transformer
    source: Tokenizer
    target: Tokenizer
    longest: int
    """Tokens after which a text is cut, and a translation ends."""
    beam: int = 4
    """Hypotheses that are followed at a time; 1: the likeliest next token is written."""
    length_penalty: float = 0.6

    @classmethod
    def of(cls, module: Transformer, dataset: Dataset, *, beam: int = 4, length_penalty: float = 0.6) -> Translator:
        """Return the translator of a module that learned from a dataset that ``Translation.encode`` gave."""
        return cls.seeing(Seen.of(dataset), module, beam=beam, length_penalty=length_penalty)

    @classmethod
    def seeing(cls, seen: Seen, module: Transformer, *, beam: int = 4, length_penalty: float = 0.6) -> Translator:
        """Return the translator of a module that sees texts so."""
        return cls(
            module=module,
            source=seen.source,
            target=seen.target,
            longest=seen.longest,
            beam=beam,
            length_penalty=length_penalty,
        )

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Return the translation of each text."""
        return [text for tokens in self.tokens(texts) for text in self.target.decode(tokens)]

    def tokens(self, texts: Sequence[str]) -> Iterator[Tensor]:
        """Yield the tokens ``[n, L]`` of the translations, some texts at a time."""
        device = next(self.module.parameters()).device
        training = self.module.training
        self.module.eval()
        try:
            for start in range(0, len(texts), TEXTS_AT_ONCE):
                some = texts[start : start + TEXTS_AT_ONCE]
                yield self.write(self.source.encode(some, max_length=self.longest, eos=True).to(device)).cpu()
        finally:
            self.module.train(training)

    @torch.inference_mode()
    def write(self, source: Tensor) -> Tensor:
        """Return the tokens ``[B, longest]`` of the translations of tokens ``[B, S]``; the module is in eval mode."""
        if self.beam == 1:
            written = decoding.greedy(self.module, source, longest=self.longest)
        else:
            written, _ = decoding.beam(
                self.module, source, width=self.beam, longest=self.longest, length_penalty=self.length_penalty
            )
        return pad(written, (0, self.longest - written.shape[1]), value=PAD)
