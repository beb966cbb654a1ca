"""How texts become numbers: the hyperparameters of every objective that reads text."""

from __future__ import annotations

from typing import Literal

from tuner.hyperparameters import Hyperparameter
from tuner.space import Choices, Fixed

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
    ),
    Hyperparameter(
        name="vocabulary",
        default=Choices(choices=(1000, 4000, 16000)),
        minimum=LEAST_VOCABULARY,
        maximum=1_000_000,
        description="most tokens the tokenizer knows, found in the training part; bpe has at least 261",
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
