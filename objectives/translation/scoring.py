"""How good translations are that were written with nobody there to say what is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from objectives.text.tokenizers import EOS, UNKNOWN, padded
from objectives.translation.preparing import Pairs
from objectives.translation.translator import Translator
from tuner.edits import edit_distances


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Translations beside what they should be, in one order."""

    pairs: Pairs
    written: Sequence[str]
    right: Sequence[bool]
    edits: Sequence[int]
    """How many tokens are to be inserted, left out or replaced."""
    tokens: Sequence[int]
    """Of what it should be."""

    @property
    def exact_match(self) -> float:
        """The share that is right."""
        return sum(self.right) / len(self.right)

    @property
    def edit_distance(self) -> float:
        """Edits for each token that should be there."""
        return sum(self.edits) / max(1, sum(self.tokens))

    def examples(self, count: int) -> list[dict[str, str]]:
        """Return the first so many, for a person to read."""
        triples = zip(self.pairs.sources, self.written, self.pairs.targets, strict=True)
        return [
            {"text": source, "translation": written, "should be": "✓" if self.right[index] else target}
            for index, (source, written, target) in zip(range(count), triples, strict=False)
        ]


def score(translator: Translator, pairs: Pairs) -> Scored:
    """Return the translations of the pairs' sources, scored by tokens of the translator's target."""
    wanted = translator.target.tokens(pairs.targets)
    said = [tokens for batch in translator.tokens(pairs.sources) for tokens in _until_end(batch)]
    edits = edit_distances(*_batch(said), *_batch(wanted)).tolist()
    known = [UNKNOWN not in tokens for tokens in wanted]
    return Scored(
        pairs=pairs,
        written=translator.target.decode(said),
        right=[not edit and sure for edit, sure in zip(edits, known, strict=True)],
        edits=edits,
        tokens=[len(tokens) for tokens in wanted],
    )


def compare(written: Tensor, wanted: Tensor) -> tuple[float, float]:
    """Return the share of translations that are right, and the edits that would mend them, a token of the right ones.

    Shape:
        token numbers ``[N, L]`` and ``[N, T]``, each row up to its first ``EOS``.
    """
    right = _until_end(wanted)
    edits = edit_distances(*_batch(_until_end(written)), *_batch(right)).tolist()
    exact = sum(not edit and UNKNOWN not in tokens for edit, tokens in zip(edits, right, strict=True))
    return exact / len(right), sum(edits) / max(1, sum(map(len, right)))


def _until_end(batch: Tensor) -> list[list[int]]:
    return [row[: row.index(EOS)] if EOS in row else row for row in batch.tolist()]


def _batch(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    return padded(rows), torch.tensor([len(row) for row in rows])
