"""Pre-training as an objective: a language model learns from texts without labels."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from objectives.encoded import Encoded
from objectives.pretraining.hyperparameters import HYPERPARAMETERS
from objectives.pretraining.options import PretrainingData, PretrainingOptions
from objectives.pretraining.texts import NAMES
from objectives.transformer.depth import by_depth
from tuner import metrics
from tuner.trainable import Trainable

if TYPE_CHECKING:
    from torch import nn

    from objectives.pretraining.sequences import TokenizerKey
    from objectives.pretraining.texts import PreparedTexts
    from objectives.text.tokenizers import Tokenizer
    from tuner.hyperparameters import Hyperparameter
    from tuner.metrics import Metric
    from tuner.training import Dataset, Loss, Part

TOKENIZER = "tokenizer.json"
"""The file of a kept model that holds its tokenizer."""
EXAMPLES = 5
"""Texts with a hidden token that are kept with a trial."""


class Pretraining(Trainable):
    """Texts without labels; a Transformer learns to find out hidden tokens, or the next one."""

    Options = PretrainingOptions
    Data = PretrainingData
    default_metric = "perplexity"
    data_sets = NAMES
    imports = ("objectives.pretraining.texts", "objectives.pretraining.network", "sklearn.model_selection")
    no_predictions = (
        "was pre-trained on texts without labels and has nothing to predict; it is what a study of objective 'text' "
        "begins with, as its objective.pretrained"
    )

    def __init__(self, options: PretrainingOptions, data: PretrainingData, *, seed: int) -> None:
        super().__init__(options, data, seed=seed)
        self._texts: PreparedTexts | None = None
        self._encoded: Encoded[TokenizerKey] = Encoded(self._encode)

    @property
    def texts(self) -> PreparedTexts:
        """The texts; :meth:`load` reads them."""
        if self._texts is None:
            raise RuntimeError("call load() first")
        return self._texts

    def load(self) -> Dataset:
        """Return the texts' checksums, by which the data is known again; :meth:`encode` makes tokens of the texts."""
        from objectives.pretraining.texts import prepare_texts
        from tuner.training import Dataset

        self._texts = prepare_texts(self.data, seed=self.seed)
        self._encoded = Encoded(self._encode)
        self.metrics()
        return Dataset(training=_checksums(self._texts.training), validation=_checksums(self._texts.validation))

    def encode(self, dataset: Dataset, params: Mapping[str, Any]) -> Dataset:
        """Return the texts as windows of tokens, see :mod:`objectives.pretraining.sequences`."""
        return self._encoding(params)

    def _encoding(self, params: Mapping[str, Any]) -> Dataset:
        from objectives.pretraining.sequences import TokenizerKey

        return self._encoded.of(TokenizerKey.of(params))

    def _encode(self, key: TokenizerKey) -> Dataset:
        from objectives.pretraining.sequences import Masking, make_parts
        from objectives.text.tokenizers import Tokenizer
        from tuner.training import Dataset

        texts = {"training": self.texts.training, "validation": self.texts.validation}
        tokenizer = Tokenizer.train(texts["training"], kind=key.kind, size=key.size, lowercase=key.lowercase)
        masked = self.options.learns == "masked"
        masking = Masking(vocabulary=len(tokenizer), share=self.options.mask_share) if masked else None
        parts = make_parts(texts, tokenizer, key.max_length, masking=masking, seed=self.seed)
        return Dataset(training=parts["training"], validation=parts["validation"], info={TOKENIZER: tokenizer})

    def hyperparameters(self) -> Sequence[Hyperparameter]:
        return HYPERPARAMETERS

    def network(self, params: Mapping[str, Any]) -> nn.Module:
        from objectives.pretraining.network import LanguageModel
        from objectives.transformer.hyperparameters import layer_shape

        return LanguageModel(
            vocabulary=len(self._encoding(params).info[TOKENIZER]),
            longest=int(params["max_length"]),
            layers=int(params["depth"]),
            shape=layer_shape(params),
            positions=params["positions"],
            causal=self.options.learns == "next_token",
        )

    def layers(self, module: nn.Module) -> Sequence[Sequence[str]]:
        return by_depth(name for name, _ in module.named_parameters())

    def loss(self, params: Mapping[str, Any]) -> Loss:
        from objectives.pretraining.sequences import NOTHING
        from tuner.training import CrossEntropy

        return CrossEntropy(ignore_index=NOTHING)

    def metrics(self) -> list[Metric]:
        return [metrics.get(name, task="sequence") for name in super().metric_names()]

    def metric_names(self) -> list[str]:
        return [metric.name for metric in self.metrics()]

    def artifacts(self, params: Mapping[str, Any]) -> dict[str, bytes]:
        """Return the tokenizer, without which the network is of no use."""
        tokenizer: Tokenizer = self._encoding(params).info[TOKENIZER]
        return {TOKENIZER: json.dumps(tokenizer.to_json(), ensure_ascii=False).encode()}

    def final_scores(self, module: nn.Module, dataset: Dataset) -> dict[str, Any]:
        """Return, for some texts of the validation part, what the network makes of their hidden tokens."""
        if self.options.learns != "masked":
            return {}
        return {"examples": _examples(module, dataset.validation, dataset.info[TOKENIZER])}

    def describe(self) -> dict[str, Any]:
        """Return the source, how many texts the parts have and how long they are, notes for a person."""
        texts = self.texts
        lengths = [len(text) for text in texts.training]
        return {
            "source": texts.where,
            "texts": {"training": len(texts.training), "validation": len(texts.validation)},
            "characters": {"in all": sum(lengths), "in the middle": round(median(lengths)), "longest": max(lengths)},
            "notes": list(texts.notes),
        }


def _checksums(texts: Sequence[str]) -> Part:
    import torch

    from tuner.training import Part

    marks = torch.tensor([zlib.crc32(text.encode("utf-8", "replace")) for text in texts])
    return Part(inputs=(marks,), targets=torch.zeros(len(texts), dtype=torch.int64))


def _examples(module: nn.Module, part: Part, tokenizer: Tokenizer) -> list[dict[str, str]]:
    from objectives.pretraining.sequences import NOTHING
    from objectives.text.tokenizers import BOS, EOS, PAD
    from tuner.training import predict

    hidden = (part.targets != NOTHING).any(1).nonzero().flatten()[:EXAMPLES]
    numbers, targets = part.inputs[0][hidden], part.targets[hidden]
    guesses = predict(module, (numbers,)).argmax(-1)

    def text(row: list[int]) -> str:
        return tokenizer.decode([[token for token in row if token not in (PAD, BOS, EOS)]])[0]

    examples = []
    for shown, wanted, guessed in zip(numbers.tolist(), targets.tolist(), guesses.tolist(), strict=True):
        sought = [place for place, token in enumerate(wanted) if token != NOTHING]
        whole = [w if w != NOTHING else s for s, w in zip(shown, wanted, strict=True)]
        examples.append(
            {
                "text": text(whole),
                "hidden": " ".join(text([wanted[place]]) for place in sought),
                "found out": " ".join(text([guessed[place]]) for place in sought),
            }
        )
    return examples
