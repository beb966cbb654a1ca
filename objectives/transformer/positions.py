"""How a Transformer knows the order of its tokens: positions that are added to them, or that turn queries and keys."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

LONGEST_WAVE = 10_000.0
"""The slowest wave has a length of 2π times this many tokens."""


def _angles(length: int, width: int, device: torch.device) -> Tensor:
    """Return ``t / 10000^(2i / width)`` for positions t and pairs i: ``[length, ceil(width / 2)]``."""
    pairs = torch.arange(0, width, 2, device=device, dtype=torch.float32)
    frequencies = torch.exp(pairs * (-math.log(LONGEST_WAVE) / width))
    return torch.arange(length, device=device, dtype=torch.float32).unsqueeze(1) * frequencies


def sinusoids(length: int, width: int, device: torch.device) -> Tensor:
    """Return the sinusoidal encoding of the positions ``[length, width]`` (Vaswani et al. 2017, section 3.5).

    ``PE[t, 2i] = sin(t / 10000^(2i / width))`` and ``PE[t, 2i + 1] = cos(t / 10000^(2i / width))``.
    """
    angles = _angles(length, width, device)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :width]


def rotated(heads: Tensor, place: int = 0) -> Tensor:
    """Turn each pair of numbers of a query or key by an angle that grows with its position, from ``place`` on.

    The product of a query and a key then depends on how far apart they are, not on where (Su et al., "RoFormer", 2021,
    equation 34): ``(a, b) → (a cos θ - b sin θ, a sin θ + b cos θ)`` with ``θ = t / 10000^(2i / D)``.

    Shape:
        ``[B, heads, T, D]`` → the same; where D is odd, the last number stays as it is.
    """
    length, width = heads.shape[-2:]
    paired = width - width % 2
    angles = _angles(place + length, paired, heads.device)[place:]
    cosine, sine = angles.cos().to(heads.dtype), angles.sin().to(heads.dtype)
    first, second = heads[..., 0:paired:2], heads[..., 1:paired:2]
    turned = torch.stack([first * cosine - second * sine, first * sine + second * cosine], -1).flatten(-2)
    return turned if paired == width else torch.cat([turned, heads[..., paired:]], -1)


class SinusoidalPositions(nn.Module):
    """The sinusoidal encoding: nothing to learn, for sequences of any length.

    Shape:
        tokens ``[B, T, W]`` → what is added to each of them, ``[T, W]``.
    """

    def forward(self, tokens: Tensor, place: int = 0) -> Tensor:
        """Return the positions of tokens of which the first has this place."""
        return sinusoids(place + tokens.shape[-2], tokens.shape[-1], tokens.device)[place:].to(tokens.dtype)


class LearnedPositions(nn.Module):
    """A vector for each position, learned (Gehring et al., "Convolutional Sequence to Sequence Learning", 2017).

    Shape:
        tokens ``[B, T, W]`` with T ≤ ``longest`` → what is added to each of them, ``[T, W]``.
    """

    def __init__(self, longest: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(longest, width))
        nn.init.normal_(self.table)

    def forward(self, tokens: Tensor, place: int = 0) -> Tensor:
        """Return the positions of tokens of which the first has this place."""
        length = place + tokens.shape[-2]
        if length > len(self.table):
            raise ValueError(f"positions were learned for {len(self.table)} tokens, got a sequence of {length}")
        return self.table[place:length]
