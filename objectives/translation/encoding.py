"""Pairs of texts as one trial's network sees them: its tokenizers, trained on the training part, and token numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from objectives.text.hyperparameters import Kind
from objectives.text.tokenizers import PAD, Tokenizer
from objectives.translation.preparing import Pairs, PreparedPairs
from tuner.training import Dataset, Part

NOTHING = -100
"""The target where nothing follows."""
SOURCE_TOKENIZER, TARGET_TOKENIZER, LONGEST = "source_tokenizer", "target_tokenizer", "longest"
"""What ``Dataset.info`` holds: the tokenizers, and the most tokens of a text on either side."""


@dataclass(frozen=True, kw_only=True)
class Vocabularies:
    """What kinds of tokens each side is made of, and of how many at most."""

    source_kind: Kind
    source_size: int
    target_kind: Kind
    target_size: int
    shared: bool
    """Both sides have the target's kind and size, found in both."""

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Vocabularies:
        """Return those of a trial's hyperparameters."""
        kind, size, shared = params["target_tokenizer"], int(params["target_vocabulary"]), bool(params["shared"])
        return cls(
            source_kind=kind if shared else params["source_tokenizer"],
            source_size=size if shared else int(params["source_vocabulary"]),
            target_kind=kind,
            target_size=size,
            shared=shared,
        )


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How a network sees both sides."""

    source: Tokenizer
    target: Tokenizer
    longest: int
    """Tokens after which a text is cut, and a translation ends."""

    @classmethod
    def of(cls, dataset: Dataset) -> Seen:
        """Return it of a dataset that :func:`encode_pairs` gave."""
        info = dataset.info
        return cls(source=info[SOURCE_TOKENIZER], target=info[TARGET_TOKENIZER], longest=info[LONGEST])


def encode_pairs(prepared: PreparedPairs, vocabularies: Vocabularies) -> Dataset:
    """Return the pairs as token numbers, with the tokenizers in ``info``.

    A source ends in ``EOS``. A target begins with ``BOS`` as an input; as a target it lies one token earlier, ends in
    ``EOS``, and is ``NOTHING`` where the input is padding: teacher forcing.

    Shape:
        inputs ``[N, S]`` and ``[N, T]``, targets ``[N, T]``; S and T may differ from part to part.
    """
    training = prepared.parts["training"]
    if vocabularies.shared:
        both = [*training.sources, *training.targets]
        source = target = Tokenizer.train(both, kind=vocabularies.target_kind, size=vocabularies.target_size)
    else:
        source = Tokenizer.train(training.sources, kind=vocabularies.source_kind, size=vocabularies.source_size)
        target = Tokenizer.train(training.targets, kind=vocabularies.target_kind, size=vocabularies.target_size)
    parts = {name: _part(pairs, source, target) for name, pairs in prepared.parts.items()}
    longest = max(tensor.shape[1] for part in parts.values() for tensor in part.inputs)
    return Dataset(
        training=parts["training"],
        validation=parts["validation"],
        test=parts.get("test"),
        info={SOURCE_TOKENIZER: source, TARGET_TOKENIZER: target, LONGEST: longest},
    )


def _part(pairs: Pairs, source: Tokenizer, target: Tokenizer) -> Part:
    framed = target.encode(pairs.targets, bos=True, eos=True)
    following = framed[:, 1:]
    return Part(
        inputs=(source.encode(pairs.sources, eos=True), framed[:, :-1].contiguous()),
        targets=following.masked_fill(following == PAD, NOTHING),
    )
