"""What may be searched of a translation. Free of torch."""

from __future__ import annotations

from objectives.text.hyperparameters import KINDS, LEAST_VOCABULARY
from objectives.transformer.hyperparameters import LAYERS, USUAL_TRAINING
from tuner.hyperparameters import Hyperparameter, with_training
from tuner.space import Choices, Fixed, Parameter, Range

NETWORK: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        name="encoder_layers",
        default=Range(low=1, high=4, integer=True),
        minimum=1,
        maximum=100,
        description="layers that read the source text",
        usual=2,
    ),
    Hyperparameter(
        name="decoder_layers",
        default=Range(low=1, high=4, integer=True),
        minimum=1,
        maximum=100,
        description="layers that write the translation",
        usual=2,
    ),
    *LAYERS,
    Hyperparameter(
        name="tied",
        default=Fixed(value=True),
        choices=(False, True),
        description="whether the output layer has the same weights as the embedding of the target's tokens",
    ),
)

TOKENIZERS: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        name="target_tokenizer",
        default=Fixed(value="bpe"),
        choices=KINDS,
        description="what a translation is cut into. Scores by token cannot be compared between unlike tokenizers: "
        "where this is searched, optimise exact_match",
    ),
    Hyperparameter(
        name="target_vocabulary",
        default=Fixed(value=2000),
        minimum=LEAST_VOCABULARY,
        maximum=1_000_000,
        description="most tokens that a translation is made of",
    ),
    Hyperparameter(
        name="shared",
        default=Fixed(value=False),
        choices=(False, True),
        description="whether both sides have the same tokens and embedding: those of target_tokenizer, found in both",
    ),
    Hyperparameter(
        name="source_tokenizer",
        default=Fixed(value="bpe", when={"shared": (False,)}),
        choices=KINDS,
        description="what a source text is cut into",
    ),
    Hyperparameter(
        name="source_vocabulary",
        default=Choices(choices=(500, 2000, 8000), when={"shared": (False,)}),
        minimum=LEAST_VOCABULARY,
        maximum=1_000_000,
        description="most tokens that a source text is made of",
        usual=2000,
    ),
)

OWN_DEFAULTS: dict[str, Parameter] = {
    "learning_rate": Range(low=1e-4, high=1e-2, log=True),
    "optimizer": Choices(choices=("adam", "adamw", "rmsprop")),
    "schedule": Choices(choices=("cosine", "one_cycle", "reduce_on_plateau")),
    "l1": Range(low=1e-8, high=1e-5, log=True),
    "l2": Range(low=1e-8, high=1e-4, log=True),
    "gradient_clip": Fixed(value=1.0),
}
"""Where a Transformer is searched otherwise than a multilayer perceptron."""

HYPERPARAMETERS = with_training((*NETWORK, *TOKENIZERS), OWN_DEFAULTS, USUAL_TRAINING)
