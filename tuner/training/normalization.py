"""Normalization of a layer of M members: ``nn.LayerNorm`` and ``nn.BatchNorm1d`` with their gradients written out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

EPS = 1e-5
MOMENTUM = 0.1
"""How much of the running statistics each batch replaces."""


class Normalization(ABC):
    """Normalises ``[M, B, H]``, then scales by gain and shift ``[M, 1, H]``."""

    smallest_batch: ClassVar[int] = 1
    centres_batch: ClassVar[bool] = False
    """A bias below has no effect: its gradient is exactly zero. As a sum it would be rounding, which Adam magnifies."""

    def __init__(self, values: Mapping[str, Tensor], slopes: Mapping[str, Tensor]) -> None:
        self.gain, self.shift = values["weight"].unsqueeze(1), values["bias"].unsqueeze(1)
        self.gain_gradient, self.shift_gradient = slopes["weight"], slopes["bias"]

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return the batch in training, normalised and scaled."""

    @abstractmethod
    def backward(self, slope: Tensor) -> None:
        """Turn the gradient with respect to the last result of ``forward`` into that of its argument, in place."""

    @abstractmethod
    def predict(self, x: Tensor) -> Tensor:
        """Return ``x``, normalised and scaled, in evaluation."""

    def buffers(self) -> dict[str, Tensor]:
        """Return what is learned beside gain and shift, ``[M, ...]``."""
        return {}


class LayerNorm(Normalization):
    """Every sample has mean zero and variance one over its units."""

    def forward(self, x: Tensor) -> Tensor:
        self.x = x
        self.normal, self.mean, self.rstd = torch.native_layer_norm(x, x.shape[-1:], None, None, EPS)
        return torch.addcmul(self.shift, self.normal, self.gain)

    def backward(self, slope: Tensor) -> None:
        torch.sum(slope, 1, out=self.shift_gradient)
        torch.sum(slope * self.normal, 1, out=self.gain_gradient)
        slope.mul_(self.gain)
        through, _, _ = torch.ops.aten.native_layer_norm_backward(
            slope, self.x, self.x.shape[-1:], self.mean, self.rstd, None, None, [True, False, False]
        )
        slope.copy_(through)

    def predict(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.shift, torch.native_layer_norm(x, x.shape[-1:], None, None, EPS)[0], self.gain)


class BatchNorm(Normalization):
    """In training, every unit has mean zero and variance one over the batch; in evaluation, by running statistics."""

    smallest_batch = 2
    centres_batch = True

    def __init__(
        self, values: Mapping[str, Tensor], slopes: Mapping[str, Tensor], modules: Sequence[nn.Module]
    ) -> None:
        super().__init__(values, slopes)
        self.running = {
            name: torch.stack([module.get_buffer(name) for module in modules])
            for name in ("running_mean", "running_var", "num_batches_tracked")
        }

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[1]
        variance, mean = torch.var_mean(x, 1, correction=0, keepdim=True)
        self.rstd = (variance + EPS).rsqrt_()
        self.normal = (x - mean).mul_(self.rstd)
        self.running["running_mean"].lerp_(mean.squeeze(1), MOMENTUM)
        self.running["running_var"].lerp_(variance.squeeze(1).mul_(batch / (batch - 1)), MOMENTUM)
        self.running["num_batches_tracked"].add_(1)
        return torch.addcmul(self.shift, self.normal, self.gain)

    def backward(self, slope: Tensor) -> None:
        share = 1.0 / slope.shape[1]
        torch.sum(slope, 1, out=self.shift_gradient)
        torch.sum(slope * self.normal, 1, out=self.gain_gradient)
        # What reaches every sample through the mean and the variance of the batch.
        slope.sub_(self.shift_gradient.unsqueeze(1), alpha=share)
        slope.addcmul_(self.normal, self.gain_gradient.unsqueeze(1), value=-share)
        slope.mul_(self.rstd.mul_(self.gain))

    def predict(self, x: Tensor) -> Tensor:
        scale = (self.running["running_var"] + EPS).rsqrt_().unsqueeze(1).mul_(self.gain)
        return torch.addcmul(self.shift - self.running["running_mean"].unsqueeze(1) * scale, x, scale)

    def buffers(self) -> dict[str, Tensor]:
        return self.running
