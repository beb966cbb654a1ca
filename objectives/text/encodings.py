"""Texts as the trials see them: tokenized, each in its own way, and the same way only once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from objectives.encoded import Encoded
from objectives.text.hyperparameters import Kind

if TYPE_CHECKING:
    from objectives.text.tokenizers import Tokenizer
    from tuner.training.data import Dataset, Part

LONGEST = 512
"""Tokens that a text keeps where no ``max_length`` is given: attention costs the square."""
WHOLE = 0.99
"""Share of the training texts that then stay whole."""

Key = tuple[Kind, int, bool, int | None]
"""Kind of tokenizer, size of its vocabulary, whether case is ignored, ``max_length``."""


class Encodings:
    """One data set's texts in every encoding that was asked for.

    ``texts`` are those of each part, in the order of the samples of ``dataset``. ``tokenizer`` gives the tokenizer of a
    kind, a size and a case; by default it is trained on the texts of the training part.
    """

    def __init__(
        self,
        texts: Mapping[str, Sequence[str]],
        dataset: Dataset,
        tokenizer: Callable[[Kind, int, bool], Tokenizer] | None = None,
    ) -> None:
        self.texts = texts
        self.dataset = dataset
        self._find = tokenizer or self._train
        self._tokenizers: dict[tuple[Kind, int, bool], Tokenizer] = {}
        self._encoded: Encoded[Key] = Encoded(self._encode)

    def tokenizer(self, params: Mapping[str, Any]) -> Tokenizer:
        """Return the tokenizer of a trial's hyperparameters."""
        return self._tokenizer(_key(params))

    def _tokenizer(self, key: Key) -> Tokenizer:
        kind, size, lowercase, _ = key
        known = kind, size, lowercase
        if known not in self._tokenizers:
            self._tokenizers[known] = self._find(*known)
        return self._tokenizers[known]

    def of(self, params: Mapping[str, Any]) -> Dataset:
        """Return the data as a trial's hyperparameters have it: inputs are token numbers ``[N, L]`` (int32).

        Each text begins with ``BOS``, so that none is all padding.
        """
        return self._encoded.of(_key(params))

    def _train(self, kind: Kind, size: int, lowercase: bool) -> Tokenizer:
        from objectives.text.tokenizers import Tokenizer

        return Tokenizer.train(self.texts["training"], kind=kind, size=size, lowercase=lowercase)

    def _encode(self, key: Key) -> Dataset:
        from tuner.training.data import Dataset

        tokenizer, max_length = self._tokenizer(key), key[3]
        tokens = {part: tokenizer.tokens(texts) for part, texts in self.texts.items()}
        length = max_length or length_limit([len(row) + 1 for row in tokens["training"]])
        own = self.dataset
        return Dataset(
            training=_encoded(own.training, tokens["training"], length),
            validation=_encoded(own.validation, tokens["validation"], length),
            test=None if own.test is None else _encoded(own.test, tokens["test"], length),
        )


def length_limit(lengths: Sequence[int]) -> int:
    """Return the tokens after which texts are cut: what leaves ``WHOLE`` of them whole, at most ``LONGEST``."""
    in_order = sorted(lengths)
    return min(LONGEST, in_order[min(len(in_order) - 1, int(len(in_order) * WHOLE))])


def longest(dataset: Dataset) -> int:
    """Return the most tokens that a text of an encoded data set has."""
    parts = (dataset.training, dataset.validation, dataset.test)
    return max(part.inputs[0].shape[1] for part in parts if part is not None)


def _key(params: Mapping[str, Any]) -> Key:
    length = params["max_length"]
    return params["tokenizer"], int(params["vocabulary"]), bool(params["lowercase"]), int(length) if length else None


def _encoded(part: Part, tokens: Sequence[Sequence[int]], length: int) -> Part:
    from dataclasses import replace

    import torch

    from objectives.text.tokenizers import padded

    return replace(part, inputs=(padded(tokens, max_length=length, bos=True).to(torch.int32),))
