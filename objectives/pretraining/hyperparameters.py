"""What may be searched of pre-training. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from objectives.text.hyperparameters import KINDS, LEAST_VOCABULARY
from objectives.transformer.hyperparameters import LAYERS, USUAL_TRAINING
from tuner.hyperparameters import Hyperparameter, with_training
from tuner.space import Choices, Fixed, Parameter, Range

_TOKENIZER: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        name="tokenizer",
        default=Fixed(value="bpe"),
        choices=KINDS,
        description="what a text is cut into: words, characters, or parts of words (bpe, wordpiece, unigram); fixed, "
        "as perplexities of different tokens cannot be compared",
    ),
    Hyperparameter(
        name="vocabulary",
        default=Fixed(value=2000),
        minimum=LEAST_VOCABULARY,
        maximum=1_000_000,
        description="most tokens the tokenizer knows, found in the training part; bpe has at least 261; fixed likewise",
    ),
    Hyperparameter(
        name="lowercase",
        default=Fixed(value=False),
        choices=(False, True),
        description="whether upper and lower case are the same; fixed likewise",
    ),
    Hyperparameter(
        name="max_length",
        default=Fixed(value=64),
        minimum=4,
        maximum=8192,
        description="tokens that the network sees at once; a longer text becomes several",
    ),
)
_NETWORK: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        name="depth",
        default=Range(low=1, high=4, integer=True),
        minimum=1,
        maximum=100,
        description="layers of the Transformer",
        usual=2,
    ),
    *(replace(hyper, default=Range(low=0.0, high=0.2)) if hyper.name == "dropout" else hyper for hyper in LAYERS),
)
_DEFAULTS: Mapping[str, Parameter] = {
    "learning_rate": Range(low=3e-4, high=1e-2, log=True),
    "optimizer": Fixed(value="adamw"),
    "weight_decay": Range(low=1e-3, high=0.3, log=True),
    "batch_size": Choices(choices=(32, 64, 128)),
    "schedule": Choices(choices=("cosine", "one_cycle")),
    "l1": Fixed(value=0.0),
    "l2": Fixed(value=0.0),
    "gradient_clip": Fixed(value=1.0),
}
"""Where pre-training is searched otherwise than a multilayer perceptron."""

HYPERPARAMETERS = with_training((*_NETWORK, *_TOKENIZER), _DEFAULTS, USUAL_TRAINING)
