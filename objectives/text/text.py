"""Text as an objective: a network that reads tokens predicts a class, or numbers."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives.supervised import Supervised
from objectives.text.datasets import NAMES
from objectives.text.hyperparameters import NETWORK, TOKENIZER, TRAINING_DEFAULTS
from objectives.text.options import TextData, TextOptions
from objectives.transformer.depth import by_depth
from objectives.transformer.hyperparameters import USUAL_TRAINING, layer_shape
from tuner.hyperparameters import with_training

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from objectives.pretraining.fine_tuning import Pretrained
    from objectives.tables.target import Target
    from objectives.text.encodings import Encodings
    from objectives.text.new_texts import KeptTexts, Seen
    from objectives.text.preparing import PreparedTexts
    from tuner.hyperparameters import Hyperparameter
    from tuner.models.samples import Samples
    from tuner.training.data import Dataset

TOKENIZER_FILE, TEXTS = "tokenizer.json", "texts.json"
"""The files of a kept model: its tokenizer; how texts are read, and what the outputs mean."""


class Text(Supervised):
    """Texts, one a sample; classification or regression, one or several targets."""

    Options = TextOptions
    Data = TextData
    data_sets = NAMES
    imports = ("objectives.text.preparing", "objectives.text.networks", "sklearn.model_selection")

    def __init__(self, options: TextOptions, data: TextData, *, seed: int) -> None:
        super().__init__(options, data, seed=seed)
        self._texts: PreparedTexts | None = None
        self._encodings: Encodings | None = None
        self._kept: KeptTexts | None = None

    @classmethod
    def recognises(cls, source: Path) -> bool:
        from objectives.text.recognition import is_text

        return is_text(source)

    @cached_property
    def pretrained(self) -> Pretrained | None:
        """What the network begins with, if not with chance."""
        if not self.options.pretrained:
            return None
        from objectives.pretraining.fine_tuning import Pretrained

        return Pretrained.open(self.options.pretrained)

    @property
    def texts(self) -> PreparedTexts:
        """The texts; :meth:`load` reads them."""
        if self._texts is None:
            raise RuntimeError("call load() first")
        return self._texts

    @property
    def encodings(self) -> Encodings:
        """The texts as trials see them."""
        if self._encodings is None:
            raise RuntimeError("call load() first")
        return self._encodings

    def load(self) -> Dataset:
        """Return the texts by their checksums ``[N]`` (int64): what a network sees is for :meth:`encode` to say."""
        import torch

        from objectives.text.encodings import Encodings
        from objectives.text.preparing import prepare_texts

        self._texts = prepare_texts(self.data, task=self.options.task, seed=self.seed)
        self.check_options()
        checksums = {
            part: (torch.tensor([zlib.crc32(text.encode("utf-8", "replace")) for text in texts]),)
            for part, texts in self._texts.texts.items()
        }
        dataset = self.dataset(checksums)
        began = self.pretrained
        self._encodings = Encodings(self._texts.texts, dataset, None if began is None else lambda *_: began.tokenizer)
        return dataset

    def encode(self, dataset: Dataset, params: Mapping[str, Any]) -> Dataset:
        """Return the texts as token numbers ``[N, L]`` (int32)."""
        return self.encodings.of(self._whole(params))

    def _whole(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a trial's hyperparameters with those that what it begins with fixes."""
        if self._kept is not None:
            return {**params, **self._kept.fixed}
        return params if self.pretrained is None else {**params, **self.pretrained.params}

    def hyperparameters(self) -> Sequence[Hyperparameter]:
        known = with_training((*NETWORK, *TOKENIZER), TRAINING_DEFAULTS, USUAL_TRAINING)
        return known if self.pretrained is None else self.pretrained.hyperparameters(known)

    def network(self, params: Mapping[str, Any]) -> nn.Module:
        if self._kept is not None or self.pretrained is None:
            return self._new_network(self._whole(params))
        return self.pretrained.begin(self._new_network(self._whole(params)))

    def layers(self, module: nn.Module) -> Sequence[Sequence[str]]:
        return by_depth(name for name, _ in module.named_parameters())

    def artifacts(self, params: Mapping[str, Any]) -> dict[str, bytes]:
        """Return the tokenizer, how texts are read, and what the outputs mean."""
        seen = self._seen(self._whole(params))
        state = {
            TOKENIZER_FILE: seen.tokenizer.to_json(),
            TEXTS: {
                "version": 1,
                "column": self.texts.column,
                "longest": seen.longest,
                "fixed": {} if self.pretrained is None else dict(self.pretrained.params),
                "target": self.target.to_json(),
            },
        }
        return {file: json.dumps(held, ensure_ascii=False).encode() for file, held in state.items()}

    def restore(self, files: Mapping[str, bytes], params: Mapping[str, Any]) -> None:
        """Be what judges texts by the kept tokenizer; what it began with is in the weights and not needed."""
        from objectives.text.new_texts import KeptTexts

        self._kept = KeptTexts.of(files, tokenizer=TOKENIZER_FILE, texts=TEXTS)

    def samples(self, data: Any, params: Mapping[str, Any]) -> Samples:
        """Return the texts of a table, of a folder of .txt files, or of a list or DataFrame in memory."""
        from objectives.text.new_texts import NewTexts

        assert self._kept is not None
        new = NewTexts(
            told=self.data,
            column=self.data.text or self._kept.column,
            targets=list(self.target.columns),
            known=self.known_targets,
        )
        return new.read(data, self._kept.seen)

    def _seen(self, params: Mapping[str, Any]) -> Seen:
        """Return how the network of a trial's whole hyperparameters sees texts."""
        from objectives.text.encodings import longest
        from objectives.text.new_texts import Seen

        if self._kept is not None:
            return self._kept.seen
        tokenizer = self.encodings.tokenizer(params)
        if self.pretrained is not None and params["positions"] == "learned":  # it gives a vector for each position
            return Seen(tokenizer=tokenizer, longest=int(params["max_length"]))
        return Seen(tokenizer=tokenizer, longest=longest(self.encodings.of(params)))

    def _new_network(self, params: Mapping[str, Any]) -> nn.Module:
        from objectives.text.networks import BagOfEmbeddings, TransformerEncoder

        seen = self._seen(params)
        vocabulary = len(seen.tokenizer)
        if params["network"] == "bag_of_embeddings":
            return BagOfEmbeddings(
                vocabulary=vocabulary,
                width=int(params["width"]),
                dropout=float(params["dropout"]),
                outputs=self.target.outputs,
            )
        return TransformerEncoder(
            vocabulary=vocabulary,
            longest=seen.longest,
            layers=int(params["depth"]),
            shape=layer_shape(params),
            positions=params["positions"],
            pooling=params["pooling"],
            outputs=self.target.outputs,
        )

    @property
    def target(self) -> Target:
        return self.texts.target if self._kept is None else self._kept.target

    @property
    def where(self) -> str:
        return self.texts.where

    def encoded_targets(self) -> Mapping[str, NDArray[Any]]:
        return self.texts.targets

    def describe(self) -> dict[str, Any]:
        """Return what was inferred: parts, target, the column of texts and how long they are, notes for a person."""
        import numpy as np

        texts = self.texts
        lengths = np.array([len(text) for text in texts.texts["training"]])
        return {
            "source": texts.where,
            "rows": {part: len(its) for part, its in texts.texts.items()},
            "target": self.describe_target(),
            "text": {
                "column": texts.column,
                "characters in the middle": int(np.median(lengths)),
                "in the longest": int(lengths.max()),
                "different": len({*"".join(texts.texts["training"])}),
            },
            "notes": list(texts.notes),
        }
