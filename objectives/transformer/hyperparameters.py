"""What may be searched of a Transformer. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tuner.hyperparameters import Hyperparameter
from tuner.space import Choices, Fixed, Range, Scalar

if TYPE_CHECKING:
    from objectives.transformer.shape import LayerShape

POSITIONS = ("sinusoidal", "learned", "rotary", "none")
"""How the network knows the order of the tokens."""

LAYERS: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        name="heads",
        default=Choices(choices=(2, 4, 8)),
        minimum=1,
        maximum=128,
        description="attention heads of each layer",
        usual=4,
    ),
    Hyperparameter(
        name="head_width",
        default=Choices(choices=(8, 16, 32)),
        minimum=2,
        maximum=1024,
        description="numbers of each head; the network's width is heads × head_width",
        usual=16,
    ),
    Hyperparameter(
        name="feed_forward",
        default=Choices(choices=(1, 2, 4)),
        minimum=1,
        maximum=16,
        description="hidden units of each layer's feed-forward network, as a multiple of the width",
        usual=2,
    ),
    Hyperparameter(
        name="activation",
        default=Fixed(value="gelu"),
        choices=("relu", "gelu", "silu"),
        description="what each hidden unit of the feed-forward network does with its sum",
    ),
    Hyperparameter(
        name="dropout",
        default=Range(low=0.0, high=0.3),
        minimum=0,
        maximum=0.99,
        description="share that is silent in each training step: of hidden units, of what sublayers give, of tokens",
        usual=0.1,
    ),
    Hyperparameter(
        name="positions",
        default=Choices(choices=("sinusoidal", "learned", "rotary")),
        choices=POSITIONS,
        description="how the network knows the order of the tokens; with none it does not",
        usual="learned",
    ),
)
"""Those of every Transformer; how many layers it has is its objective's to say."""

USUAL_TRAINING: dict[str, Scalar] = {
    "learning_rate": 1e-3,
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "l1": 1e-8,
    "l2": 1e-8,
}
"""What is usual where a Transformer is trained, where it is not what is usual for a multilayer perceptron."""


def layer_shape(params: Mapping[str, Any]) -> LayerShape:
    """Return the shape of the layers that ``params`` (the names of ``LAYERS``) describe."""
    from objectives.transformer.shape import LayerShape

    width = int(params["heads"]) * int(params["head_width"])
    return LayerShape(
        width=width,
        heads=int(params["heads"]),
        feed_forward=round(float(params["feed_forward"]) * width),
        dropout=float(params["dropout"]),
        activation=str(params["activation"]),
        rotary=params["positions"] == "rotary",
    )
