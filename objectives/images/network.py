"""The network for images: blocks of convolutions, a head, and what happens to pixels before."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from objectives.images.augmentation import Augmentation
from tuner.training.activations import ACTIVATIONS

GROUPS = 8
"""Channels are normalised in so many groups, or in the most that divide their number."""
LEAST_POOLED_SIDE = 4
"""Where the shorter side is less, a block does not halve the sides."""
MOST_CHANNELS = 512
"""Channels no longer grow from there."""
PREDICTED_BYTES = 2**26
"""What the widest layer may take when the network only predicts."""


class Standardise(nn.Module):
    """Pixels, whole or not, less their channel's mean and divided by its deviation, as float32.

    The two are of the training part; they are buffers, so they go where the weights go.

    Shape: ``[B, C, H, W] → [B, C, H, W]``.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, means: Sequence[float], deviations: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(means, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviations, dtype=torch.float32).view(-1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels - self.mean) / self.deviation


class Block(nn.Module):
    """A convolution that keeps the sides, normalization, activation, pooling that halves the sides, dropout.

    Dropout silences whole channels. With ``pooling="stride"`` the convolution itself halves the sides; with
    ``"none"``, or where the shorter side is less than :data:`LEAST_POOLED_SIDE`, nothing does.

    Shape: ``[B, inputs, H, W] → [B, channels, H', W']``.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        sides: tuple[int, int],
        *,
        kernel: int,
        activation: str,
        normalization: str,
        pooling: str,
        dropout: float,
    ) -> None:
        super().__init__()
        halves = pooling != "none" and min(sides) >= LEAST_POOLED_SIDE
        stride = 2 if halves and pooling == "stride" else 1
        bias = normalization == "none"  # the others have their own
        self.convolution = nn.Conv2d(inputs, channels, kernel, stride=stride, padding=kernel // 2, bias=bias)
        self.normalization = _normalization(normalization, channels)
        self.activation = ACTIVATIONS[activation].module()
        self.pooling = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}[pooling](2) if halves and stride == 1 else None
        self.dropout = nn.Dropout2d(dropout) if dropout else None
        self.sides = _halved(sides, ceil=stride == 2) if halves else sides

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(x)
        if self.normalization is not None:
            x = self.normalization(x)
        x = self.activation(x)
        if self.pooling is not None:
            x = self.pooling(x)
        return x if self.dropout is None else self.dropout(x)


class ConvolutionalNetwork(nn.Module):
    """Standardised pixels, augmentation while it learns, blocks, and a head.

    The first block has ``width`` channels, each further one ``growth`` times as many, 512 at most. The head is a linear
    map of each channel's average (``average``), of its maximum (``max``), or of all that is left (``flatten``); with
    ``depth=0`` and ``head="flatten"`` the network is a linear model of the pixels.

    Shape: pixels ``[B, C, H, W]``, of any number type, → ``[B, outputs]``.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        outputs: int,
        means: Sequence[float],
        deviations: Sequence[float],
        depth: int,
        width: int,
        growth: float = 2.0,
        kernel: int = 3,
        activation: str = "relu",
        normalization: str = "none",
        pooling: str = "max",
        head: str = "average",
        dropout: float = 0.0,
        augmentation: Augmentation | None = None,
    ) -> None:
        super().__init__()
        channels, *sides = shape
        self.standardise = Standardise(means, deviations)
        self.augmentation = augmentation
        self.blocks = nn.ModuleList()
        size = (sides[0], sides[1])
        widest = channels * math.prod(size)
        for index in range(depth):
            wider = max(1, min(MOST_CHANNELS, round(width * growth**index)))
            widest = max(widest, wider * math.prod(size))
            block = Block(
                channels,
                wider,
                size,
                kernel=kernel,
                activation=activation,
                normalization=normalization,
                pooling=pooling,
                dropout=dropout,
            )
            self.blocks.append(block)
            channels, size = wider, block.sides
        self.head_pooling = head
        self.head = nn.Linear(channels * (math.prod(size) if head == "flatten" else 1), outputs)
        self.predicted = max(1, PREDICTED_BYTES // (4 * widest))

    def forward(self, pixels: Tensor) -> Tensor:
        if self.training or len(pixels) <= self.predicted:
            return self._outputs(pixels)
        return torch.cat([self._outputs(some) for some in torch.split(pixels, self.predicted)])

    def _outputs(self, pixels: Tensor) -> Tensor:
        x = self.standardise(pixels)
        if self.augmentation is not None and self.training:
            x = self.augmentation(x)
        for block in self.blocks:
            x = block(x)
        if self.head_pooling == "average":
            x = x.mean((2, 3))
        else:
            x = x.flatten(1) if self.head_pooling == "flatten" else x.amax((2, 3))
        outputs: Tensor = self.head(x)
        return outputs


def _normalization(name: str, channels: int) -> nn.Module | None:
    if name == "none":
        return None
    if name == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(1 if name == "layer" else math.gcd(GROUPS, channels), channels)


def _halved(sides: tuple[int, int], *, ceil: bool) -> tuple[int, int]:
    height, width = ((side + ceil) // 2 for side in sides)
    return height, width
