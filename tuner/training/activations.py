"""Activation functions: as modules, and as pairs of a forward and a backward pass that write where they are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_aten = torch.ops.aten


@dataclass(frozen=True, kw_only=True)
class Activation:
    """One activation function."""

    module: Callable[[], nn.Module]
    forward: Callable[[Tensor, Tensor], object]
    """Write the activation of the first tensor into the second; they may be one tensor if ``from_output``."""
    backward: Callable[[Tensor, Tensor], object]
    """Multiply the gradient (first) in place by the derivative at what was saved (second)."""
    from_output: bool
    """What the backward pass needs saved: the activation's output, or its input."""


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(
        module=nn.ReLU,
        forward=lambda z, h: torch.clamp_min(z, 0.0, out=h),
        backward=lambda g, h: _aten.threshold_backward.grad_input(g, h, 0.0, grad_input=g),
        from_output=True,
    ),
    "leaky_relu": Activation(
        module=nn.LeakyReLU,
        forward=lambda z, h: _aten.leaky_relu.out(z, 0.01, out=h),
        backward=lambda g, h: _aten.leaky_relu_backward.grad_input(g, h, 0.01, True, grad_input=g),
        from_output=True,
    ),
    "tanh": Activation(
        module=nn.Tanh,
        forward=lambda z, h: torch.tanh(z, out=h),
        backward=lambda g, h: _aten.tanh_backward.grad_input(g, h, grad_input=g),
        from_output=True,
    ),
    "sigmoid": Activation(
        module=nn.Sigmoid,
        forward=lambda z, h: torch.sigmoid(z, out=h),
        backward=lambda g, h: _aten.sigmoid_backward.grad_input(g, h, grad_input=g),
        from_output=True,
    ),
    "gelu": Activation(
        module=nn.GELU,
        # Seen as transposed, the tensors pass by the kernels of oneDNN, whose calls cost more than small layers do.
        forward=lambda z, h: _aten.gelu.out(z.mT, out=h.mT),
        backward=lambda g, z: _aten.gelu_backward.grad_input(g.mT, z.mT, grad_input=g.mT),
        from_output=False,
    ),
    "silu": Activation(
        module=nn.SiLU,
        forward=lambda z, h: _aten.silu.out(z, out=h),
        backward=lambda g, z: _aten.silu_backward.grad_input(g, z, grad_input=g),
        from_output=False,
    ),
    "elu": Activation(
        module=nn.ELU,
        forward=lambda z, h: _aten.elu.out(z, out=h),
        backward=lambda g, h: _aten.elu_backward.grad_input(g, 1.0, 1.0, 1.0, True, h, grad_input=g),
        from_output=True,
    ),
    "selu": Activation(
        module=nn.SELU,
        forward=lambda z, h: _aten.elu.out(z, _SELU_ALPHA, _SELU_SCALE, 1.0, out=h),
        backward=lambda g, h: _aten.elu_backward.grad_input(g, _SELU_ALPHA, _SELU_SCALE, 1.0, True, h, grad_input=g),
        from_output=True,
    ),
    "softplus": Activation(
        module=nn.Softplus,
        forward=lambda z, h: _aten.softplus.out(z, 1.0, 20.0, out=h),
        backward=lambda g, z: _aten.softplus_backward.grad_input(g, z, 1.0, 20.0, grad_input=g),
        from_output=False,
    ),
    "identity": Activation(
        module=nn.Identity,
        forward=lambda z, h: None if z is h else h.copy_(z),
        backward=lambda g, h: None,
        from_output=True,
    ),
}

_SELU_ALPHA = 1.6732632423543772
_SELU_SCALE = 1.0507009873554805
