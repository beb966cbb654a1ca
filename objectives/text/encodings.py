"""Texts as the trials see them: tokenized, each in its own way, and the same way only once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from objectives.text.hyperparameters import Kind

if TYPE_CHECKING:
    from objectives.text.tokenizers import Tokenizer
    from tuner.training.data import Dataset, Part

LONGEST = 512
"""Tokens that a text keeps where no ``max_length`` is given: attention costs the square."""
WHOLE = 0.99
"""Share of the training texts that then stay whole."""
KEPT_BYTES = 2**30
"""Encodings are kept up to this much memory, though no trial is using them."""

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
        self._all: WeakValueDictionary[Key, Dataset] = WeakValueDictionary()
        self._kept: dict[Key, Dataset] = {}

    def tokenizer(self, params: Mapping[str, Any]) -> Tokenizer:
        """Return the tokenizer of a trial's hyperparameters."""
        key = _key(params)[:3]
        if key not in self._tokenizers:
            self._tokenizers[key] = self._find(*key)
        return self._tokenizers[key]

    def of(self, params: Mapping[str, Any]) -> Dataset:
        """Return the data as a trial's hyperparameters have it: inputs are token numbers ``[N, L]`` (int32).

        Each text begins with ``BOS``, so that none is all padding.
        """
        key = _key(params)
        dataset = self._all.get(key)
        if dataset is None:
            dataset = self._all[key] = self._encode(self.tokenizer(params), key[3])
        self._keep(key, dataset)
        return dataset

    def _train(self, kind: Kind, size: int, lowercase: bool) -> Tokenizer:
        from objectives.text.tokenizers import Tokenizer

        return Tokenizer.train(self.texts["training"], kind=kind, size=size, lowercase=lowercase)

    def _encode(self, tokenizer: Tokenizer, max_length: int | None) -> Dataset:
        from tuner.training.data import Dataset

        tokens = {part: tokenizer.tokens(texts) for part, texts in self.texts.items()}
        length = max_length or length_limit([len(row) + 1 for row in tokens["training"]])
        own = self.dataset
        return Dataset(
            training=_encoded(own.training, tokens["training"], length),
            validation=_encoded(own.validation, tokens["validation"], length),
            test=None if own.test is None else _encoded(own.test, tokens["test"], length),
        )

    def _keep(self, key: Key, dataset: Dataset) -> None:
        """Keep the encodings that were asked for last."""
        self._kept.pop(key, None)
        self._kept[key] = dataset
        while len(self._kept) > 1 and sum(map(_bytes, self._kept.values())) > KEPT_BYTES:
            del self._kept[next(iter(self._kept))]


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


def _bytes(dataset: Dataset) -> int:
    parts = (dataset.training, dataset.validation, dataset.test)
    return sum(x.numel() * x.element_size() for part in parts if part is not None for x in part.inputs)
