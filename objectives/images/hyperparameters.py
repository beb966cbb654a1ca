"""What is searched of a network for images, and how images may be changed while it learns."""

from __future__ import annotations

from tuner.hyperparameters import Hyperparameter
from tuner.space import Choices, Fixed, Range

NETWORK: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        name="depth",
        default=Range(low=1, high=4, integer=True),
        minimum=0,
        maximum=50,
        description="blocks of convolution, normalization, activation and pooling; 0 is a linear model",
        usual=3,
    ),
    Hyperparameter(
        name="width",
        default=Range(low=8, high=64, log=True, integer=True),
        minimum=1,
        maximum=4096,
        description="channels of the first block",
        usual=32,
    ),
    Hyperparameter(
        name="growth",
        default=Fixed(value=2.0),
        minimum=0.1,
        maximum=8,
        description="how many times more channels each further block has, up to 512",
    ),
    Hyperparameter(
        name="kernel",
        default=Choices(choices=(3, 5)),
        choices=(1, 3, 5, 7, 9, 11),
        description="side of the convolutions, in pixels",
        usual=3,
    ),
    Hyperparameter(
        name="pooling",
        default=Choices(choices=("max", "average", "stride")),
        choices=("max", "average", "stride", "none"),
        description="what halves the sides after each block, while they are 4 pixels or more",
        usual="max",
    ),
    Hyperparameter(
        name="head",
        default=Choices(choices=("average", "flatten")),
        choices=("average", "max", "flatten"),
        description="what the last layer sees: each channel's average, its maximum, or everything",
        usual="average",
    ),
    Hyperparameter(
        name="activation",
        default=Choices(choices=("relu", "gelu", "silu")),
        choices=(
            "relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "elu", "selu", "softplus", "identity",
        ),
        description="what each unit does with its sum",
        usual="relu",
    ),
    Hyperparameter(
        name="normalization",
        default=Choices(choices=("none", "batch", "group")),
        choices=("none", "batch", "layer", "group"),
        description="normalisation before each activation, over the batch, the image, or groups of its channels",
        usual="batch",
    ),
    Hyperparameter(
        name="dropout",
        default=Range(low=0.0, high=0.5),
        minimum=0,
        maximum=0.99,
        description="share of the channels that is silent in each training step",
        usual=0.1,
    ),
)  # fmt: skip


def augmentation(*, photos: bool) -> tuple[Hyperparameter, ...]:
    """Return how images may be changed while a network learns; searched for photos, off for what is like digits."""
    return (
        Hyperparameter(
            name="flip",
            default=Choices(choices=(False, True)) if photos else Fixed(value=False),
            choices=(False, True),
            description="mirror half of the images, left to right, in training; wrong where that changes the class",
            usual=False,
        ),
        Hyperparameter(
            name="shift",
            default=Range(low=0.0, high=0.15) if photos else Fixed(value=0.0),
            minimum=0,
            maximum=0.5,
            description="move each image in training by up to this share of its sides",
            usual=0.05,
        ),
        Hyperparameter(
            name="rotation",
            default=Fixed(value=0.0),
            minimum=0,
            maximum=180,
            description="turn each image in training by up to so many degrees, either way",
        ),
        Hyperparameter(
            name="zoom",
            default=Fixed(value=0.0),
            minimum=0,
            maximum=0.9,
            description="scale each image in training by up to this share of its size",
        ),
        Hyperparameter(
            name="brightness",
            default=Fixed(value=0.0),
            minimum=0,
            maximum=3,
            description="make each image in training lighter or darker by up to so many standard deviations",
        ),
        Hyperparameter(
            name="contrast",
            default=Fixed(value=0.0),
            minimum=0,
            maximum=0.99,
            description="multiply the pixels of each image in training by 1 and up to this, more or less",
        ),
    )
