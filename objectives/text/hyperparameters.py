"""What may be searched of tokenizers, by every objective that reads text, and of networks that judge texts."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from objectives.transformer.hyperparameters import LAYERS
from tuner.hyperparameters import Hyperparameter
from tuner.space import Choices, Fixed, Parameter, Range

Kind = Literal["word", "character", "bpe", "wordpiece", "unigram"]
KINDS: tuple[Kind, ...] = ("word", "character", "bpe", "wordpiece", "unigram")
"""The kinds of tokenizers, see :class:`objectives.text.tokenizers.Tokenizer`."""
LEAST_VOCABULARY = 16

TOKENIZER: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        name="tokenizer",
        default=Choices(choices=("word", "character", "bpe")),
        choices=KINDS,
        description="what a text is cut into: words, characters, or parts of words (bpe, wordpiece, unigram)",
        usual="bpe",
    ),
    Hyperparameter(
        name="vocabulary",
        default=Choices(choices=(1000, 4000, 16000)),
        minimum=LEAST_VOCABULARY,
        maximum=1_000_000,
        description="most tokens the tokenizer knows, found in the training part; bpe has at least 261",
        usual=4000,
    ),
    Hyperparameter(
        name="lowercase",
        default=Fixed(value=False),
        choices=(False, True),
        description="whether upper and lower case are the same",
    ),
    Hyperparameter(
        name="max_length",
        default=Fixed(value=None),
        minimum=2,
        description="tokens after which a text is cut; none: what leaves 99 % of the training texts whole, at most 512",
    ),
)

NETWORKS = ("transformer", "bag_of_embeddings")
POOLING = ("mean", "cls", "max")

_TRANSFORMER = {"network": ("transformer",)}
_BAG = {"network": ("bag_of_embeddings",)}


def _only_transformers(hyper: Hyperparameter) -> Hyperparameter:
    return replace(hyper, default=replace(hyper.default, when=_TRANSFORMER))


NETWORK: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        name="network",
        default=Choices(choices=NETWORKS),
        choices=NETWORKS,
        description="a Transformer encoder, or a linear layer on the mean of the tokens' embeddings, blind to order",
        usual="transformer",
    ),
    Hyperparameter(
        name="depth",
        default=Range(low=1, high=4, integer=True, when=_TRANSFORMER),
        minimum=1,
        maximum=100,
        description="layers of the Transformer",
        usual=2,
    ),
    *(hyper if hyper.name == "dropout" else _only_transformers(hyper) for hyper in LAYERS),
    Hyperparameter(
        name="pooling",
        default=Choices(choices=POOLING, when=_TRANSFORMER),
        choices=POOLING,
        description="what the last layer reads of a text: the mean or maximum of its tokens, or its first token",
        usual="mean",
    ),
    Hyperparameter(
        name="width",
        default=Range(low=16, high=256, log=True, integer=True, when=_BAG),
        minimum=1,
        maximum=65536,
        description="numbers of each embedding of a bag; a Transformer's are heads × head_width",
        usual=64,
    ),
)
"""Those of networks that read a text and predict classes or numbers."""

TRAINING_DEFAULTS: dict[str, Parameter] = {
    "learning_rate": Range(low=1e-4, high=1e-2, log=True),
    "optimizer": Choices(choices=("adam", "adamw", "rmsprop")),
    "batch_size": Choices(choices=(32, 64, 128)),
    "weight_decay": Range(low=1e-3, high=1.0, log=True, when={"optimizer": ("adamw",)}),
    "schedule": Choices(choices=("constant", "cosine", "one_cycle", "reduce_on_plateau")),
    "l1": Range(low=1e-8, high=1e-5, log=True),
    "l2": Range(low=1e-8, high=1e-4, log=True),
    "gradient_clip": Fixed(value=1.0),
}
"""Where training is searched otherwise than that of a multilayer perceptron: large steps and strong penalties, which
act on embeddings as on all weights, keep a Transformer from learning anything."""
