"""The translation as an objective: pairs of texts, and a Transformer that learns to turn one into the other."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from objectives.encoded import Encoded
from objectives.translation.cmudict import NAME
from objectives.translation.hyperparameters import HYPERPARAMETERS
from objectives.translation.options import TranslationData, TranslationOptions
from tuner import metrics
from tuner.errors import UsageError
from tuner.hyperparameters import Hyperparameter
from tuner.trainable import Trainable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from objectives.translation.encoding import Seen, Vocabularies
    from objectives.translation.new_texts import KeptPairs
    from objectives.translation.preparing import Pairs, PreparedPairs
    from tuner.metrics import Metric
    from tuner.models.samples import Samples
    from tuner.training import Dataset, Loss, Part

PAIRS = "pairs.json"
"""The file of a kept model that holds both tokenizers, and how texts are read."""
EXAMPLES = 5
"""Translations that are kept with a trial."""


class Translation(Trainable):
    """Pairs of texts in two columns; an encoder and a decoder learn to translate the one into the other."""

    Options = TranslationOptions
    Data = TranslationData
    default_metric = "exact_match"
    data_sets = (NAME,)
    imports = ("objectives.translation.preparing", "objectives.translation.network", "sklearn.model_selection")

    def __init__(self, options: TranslationOptions, data: TranslationData, *, seed: int) -> None:
        super().__init__(options, data, seed=seed)
        self._prepared: PreparedPairs | None = None
        self._encoded: Encoded[Vocabularies] = Encoded(self._encode)
        self._kept: KeptPairs | None = None

    @property
    def prepared(self) -> PreparedPairs:
        """The pairs of texts; :meth:`load` makes them."""
        if self._prepared is None:
            raise RuntimeError("call load() first")
        return self._prepared

    def load(self) -> Dataset:
        """Return a mark of each text, by which the data is known again; :meth:`encode` makes tokens of the texts."""
        from objectives.translation.preparing import prepare_pairs
        from tuner.training import Dataset

        self._prepared = prepare_pairs(self.data, seed=self.seed)
        self._encoded = Encoded(self._encode)
        self.metrics()
        parts = {name: _marks(pairs) for name, pairs in self._prepared.parts.items()}
        return Dataset(training=parts["training"], validation=parts["validation"], test=parts.get("test"))

    def encode(self, dataset: Dataset, params: Mapping[str, Any]) -> Dataset:
        """Return the pairs as token numbers; see ``encoding.encode_pairs``."""
        return self._encoding(params)

    def _encoding(self, params: Mapping[str, Any]) -> Dataset:
        from objectives.translation.encoding import Vocabularies

        return self._encoded.of(Vocabularies.of(params))

    def _encode(self, vocabularies: Vocabularies) -> Dataset:
        from objectives.translation.encoding import encode_pairs

        return encode_pairs(self.prepared, vocabularies)

    def hyperparameters(self) -> Sequence[Hyperparameter]:
        return HYPERPARAMETERS

    def network(self, params: Mapping[str, Any]) -> nn.Module:
        from objectives.transformer.hyperparameters import layer_shape
        from objectives.translation.network import Transformer

        seen = self._seen(params)
        return Transformer(
            source_vocabulary=len(seen.source),
            target_vocabulary=len(seen.target),
            shape=layer_shape(params),
            encoder_layers=int(params["encoder_layers"]),
            decoder_layers=int(params["decoder_layers"]),
            positions=params["positions"],
            longest=seen.longest,
            shared=bool(params["shared"]),
            tied=bool(params["tied"]),
        )

    def layers(self, module: nn.Module) -> Sequence[Sequence[str]]:
        """Return the source's embedding, each encoder layer, the target's embedding, each decoder layer, the head."""
        from objectives.translation.network import Transformer

        assert isinstance(module, Transformer)
        return module.layers()

    def loss(self, params: Mapping[str, Any]) -> Loss:
        from objectives.translation.encoding import NOTHING
        from tuner.training import CrossEntropy

        return CrossEntropy(label_smoothing=self.options.label_smoothing, ignore_index=NOTHING)

    def metrics(self) -> list[Metric]:
        return [metrics.get(name, task="sequence") for name in self.metric_names()]

    def metric_names(self) -> list[str]:
        return [metrics.get(name, task="sequence").name for name in super().metric_names()]

    def artifacts(self, params: Mapping[str, Any]) -> dict[str, bytes]:
        """Return both tokenizers, and how texts are read."""
        from objectives.translation.new_texts import KeptPairs

        kept = KeptPairs(columns=self.prepared.columns, characters=self.prepared.longest, seen=self._seen(params))
        return {PAIRS: json.dumps(kept.to_json(), ensure_ascii=False).encode()}

    def restore(self, files: Mapping[str, bytes], params: Mapping[str, Any]) -> None:
        from objectives.translation.new_texts import KeptPairs
        from tuner.models.samples import held

        self._kept = KeptPairs.from_json(held(files, PAIRS))

    def samples(self, data: Any, params: Mapping[str, Any]) -> Samples:
        """Return the texts of a table, or of a list or DataFrame in memory; translations beside them are targets."""
        from objectives.translation.new_texts import read_texts

        return read_texts(data, self.data, self.kept)

    def infer(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        """Return the translations as token numbers ``[B, longest]``, written with a beam as the options say."""
        from objectives.translation.network import Transformer
        from objectives.translation.translator import Translator

        assert isinstance(module, Transformer)
        if not len(inputs[0]):
            return inputs[0]  # a beam needs a text to begin with
        beam, penalty = self.options.beam, self.options.length_penalty
        return Translator.seeing(self.kept.seen, module, beam=beam, length_penalty=penalty).write(inputs[0])

    def answers(self, outputs: Tensor, *, probabilities: bool = False) -> Mapping[str, Sequence[Any]]:
        """Return the translations, under the name that their column had."""
        if probabilities:
            raise UsageError("probabilities are those of classes; this model answers with texts")
        return {self.kept.columns[1]: self.kept.seen.target.decode(outputs)}

    def scores(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Return how many translations are right, and the edits that would mend them, a token."""
        from objectives.translation.scoring import compare

        exact_match, edit_distance = compare(outputs, targets)
        return {"decoded_exact_match": exact_match, "decoded_edit_distance": edit_distance}

    @property
    def kept(self) -> KeptPairs:
        """What a kept model knows of its pairs; :meth:`restore` reads it."""
        if self._kept is None:
            raise RuntimeError("call restore() first")
        return self._kept

    def _seen(self, params: Mapping[str, Any]) -> Seen:
        """Return how the network of a trial's hyperparameters sees texts."""
        from objectives.translation.encoding import Seen

        return Seen.of(self._encoding(params)) if self._kept is None else self._kept.seen

    def final_scores(self, module: nn.Module, dataset: Dataset) -> dict[str, Any]:
        """Translate some of the validation texts, and compare the texts that come out with those that should.

        ``decoded_exact_match`` is the share that is right; ``decoded_edit_distance`` the edits that mend them, a token.
        A translation with a token that the tokenizer does not know is never right.
        """
        from objectives.translation.network import Transformer
        from objectives.translation.scoring import score
        from objectives.translation.translator import Translator

        assert isinstance(module, Transformer)
        pairs = self.prepared.parts["validation"].first(self.options.decoded)
        if not len(pairs):
            return {}
        translator = Translator.of(module, dataset, beam=self.options.beam, length_penalty=self.options.length_penalty)
        scored = score(translator, pairs)
        return {
            "decoded_exact_match": scored.exact_match,
            "decoded_edit_distance": scored.edit_distance,
            "decoded": len(pairs),
            "examples": scored.examples(EXAMPLES),
        }

    def describe(self) -> dict[str, Any]:
        """Return the parts, the columns, how long the texts are, and notes for a person."""
        from statistics import median

        prepared = self.prepared
        training = prepared.parts["training"]
        sides = zip(prepared.columns, (training.sources, training.targets), strict=True)
        return {
            "source": prepared.where,
            "rows": {part: len(pairs) for part, pairs in prepared.parts.items()},
            "translation": dict(zip(("from", "to"), prepared.columns, strict=True)),
            "characters": {column: f"{median(map(len, texts)):g} in the middle" for column, texts in sides},
            "notes": list(prepared.notes),
        }


def _marks(pairs: Pairs) -> Part:
    """Return a number for each text."""
    import torch

    from tuner.training import Part

    def marks(texts: Sequence[str]) -> Tensor:
        return torch.tensor([zlib.crc32(text.encode("utf-8", "surrogatepass")) for text in texts])

    return Part(inputs=(marks(pairs.sources),), targets=marks(pairs.targets))
