"""M multilayer perceptrons of one shape, learning side by side: gradients are written out, autograd is not used.

One call of ``baddbmm`` or ``bmm`` does a layer of all members. All intermediate values live in workspaces that are made
once for each batch size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tuner.training.activations import ACTIVATIONS
from tuner.training.data import Feed
from tuner.training.feeding import chunks
from tuner.training.losses import Loss
from tuner.training.memory import sent
from tuner.training.mlp import MLP
from tuner.training.network import Layout
from tuner.training.normalization import BatchNorm, LayerNorm, Normalization

DRAWN_NUMBERS = 2**15
"""Dropout masks of several steps are drawn in one go, up to so many numbers a member."""
PREDICTED_NUMBERS = 2**20
"""Values of one layer, all members together, when they only predict."""
COPIED_WEIGHTS = 64 * 64
"""Gradients of weight matrices up to this size are computed side by side and copied into the strided rows: faster."""


@dataclass
class _Layer:
    """Views of one layer's parameters and gradients in the flat rows."""

    weight: Tensor  # [M, H, I]
    weight_t: Tensor  # [M, I, H]
    bias: Tensor  # [M, 1, H]
    weight_gradient: Tensor  # [M, H, I]
    bias_gradient: Tensor  # [M, H]
    dense: Tensor | None  # [M, H, I], contiguous, for small weight gradients
    norm: Normalization | None = None


@dataclass
class _Work:
    """What a layer's forward pass leaves to its backward pass, for one batch size."""

    linear: Tensor  # [M, B, H], what the linear map gives; in the last layer [M, H, B], as losses take it
    normal: Tensor  # [M, B, H], the same after normalization: what the activation is given
    output: Tensor  # [M, B, H], after normalization, activation, dropout
    active: Tensor  # [M, B, H], before dropout, if the activation's derivative is taken from its output
    slope: Tensor  # [M, B, H], the gradient with respect to the layer's output, then to its linear map
    slope_t: Tensor  # [M, H, B]
    mask: Tensor | None = None


class AnalyticMLP:
    """Multilayer perceptrons. See ``network.Network`` for what the methods promise."""

    @staticmethod
    def accepts(module: nn.Module) -> bool:
        """Tell whether the module can be trained this way."""
        return type(module) is MLP and all(p.requires_grad for p in module.parameters())

    def __init__(self, modules: Sequence[MLP], loss: Loss, layout: Layout, weights: Tensor, gradient: Tensor) -> None:
        first = modules[0]
        self.loss = loss
        self.members = len(modules)
        self.widths = (first.inputs, *first.hidden, first.outputs)
        self.activation = ACTIVATIONS[first.activation]
        values, slopes = layout.views(weights), layout.views(gradient)
        self.layers = [self._layer(index, values, slopes) for index in range(len(self.widths) - 1)]
        for index in range(len(first.norms)):
            self.layers[index].norm = _norm(index, modules, values, slopes)
        self.norms = {f"norms.{index}": layer.norm for index, layer in enumerate(self.layers) if layer.norm}
        self.smallest_batch = max((norm.smallest_batch for norm in self.norms.values()), default=1)
        self.device, self.dtype = weights.device, weights.dtype
        self._workspaces: dict[int, list[_Work]] = {}
        self._dropout = _Dropout([m.dropout for m in modules], first.hidden, weights) if first.hidden else None
        self.repeatable = self._dropout is None or not self._dropout.needed

    def _layer(self, index: int, values: dict[str, Tensor], slopes: dict[str, Tensor]) -> _Layer:
        weight, bias = values[f"layers.{index}.weight"], values[f"layers.{index}.bias"]
        small = self.members > 1 and weight[0].numel() <= COPIED_WEIGHTS and weight.device.type == "cpu"
        return _Layer(
            weight=weight,
            weight_t=weight.mT,
            bias=bias.unsqueeze(1),
            weight_gradient=slopes[f"layers.{index}.weight"],
            bias_gradient=slopes[f"layers.{index}.bias"],
            dense=torch.empty(weight.shape, dtype=weight.dtype, device=weight.device) if small else None,
        )

    @contextmanager
    def epoch(self, seeds: Sequence[int]) -> Iterator[None]:
        if self._dropout is not None:
            self._dropout.start(seeds)
        with torch.inference_mode():
            yield

    def buffers(self) -> dict[str, Tensor]:
        return {
            f"{place}.{name}": buffer for place, norm in self.norms.items() for name, buffer in norm.buffers().items()
        }

    def prepare(self, targets: Tensor) -> Tensor:
        return self.loss.prepare(targets, self.widths[-1], self.dtype)

    def forward_backward(self, inputs: tuple[Tensor, ...], targets: Tensor) -> Tensor:
        x = inputs[0].flatten(2)
        work = self._workspace(x.shape[1])
        outputs = self._forward(x, work)
        loss = self.loss.backward(outputs, targets, work[-1].slope_t)
        self._backward(x, work)
        return loss

    def _forward(self, x: Tensor, work: list[_Work]) -> Tensor:
        masks = self._dropout.masks(x.shape[1]) if self._dropout is not None and self._dropout.needed else None
        for index, (layer, w) in enumerate(zip(self.layers[:-1], work, strict=False)):
            torch.baddbmm(layer.bias, x, layer.weight_t, out=w.linear)
            w.normal = w.linear if layer.norm is None else layer.norm.forward(w.linear)
            self.activation.forward(w.normal, w.active)
            if masks is not None:
                w.mask = masks[index]
                torch.mul(w.active, w.mask, out=w.output)
                x = w.output
            else:
                x = w.active
            w.output = x
        layer = self.layers[-1]
        return torch.baddbmm(layer.bias.mT, layer.weight, x.mT, out=work[-1].linear)

    def _backward(self, x: Tensor, work: list[_Work]) -> None:
        for index in range(len(self.layers) - 1, -1, -1):
            layer, w = self.layers[index], work[index]
            below = work[index - 1].output if index else x
            if layer.dense is None:
                torch.bmm(w.slope_t, below, out=layer.weight_gradient)
            else:
                layer.weight_gradient.copy_(torch.bmm(w.slope_t, below, out=layer.dense))
            if layer.norm is not None and layer.norm.centres_batch:
                layer.bias_gradient.zero_()
            else:
                torch.sum(w.slope, 1, out=layer.bias_gradient)
            if index:
                self._backward_hidden(
                    self.layers[index - 1], work[index - 1], torch.bmm(w.slope, layer.weight, out=work[index - 1].slope)
                )

    def _backward_hidden(self, layer: _Layer, w: _Work, slope: Tensor) -> None:
        """Turn the gradient with respect to a hidden layer's output into that of its linear map, in place."""
        if w.mask is not None:
            slope.mul_(w.mask)
        self.activation.backward(slope, w.active if self.activation.from_output else w.normal)
        if layer.norm is not None:
            layer.norm.backward(slope)

    def _workspace(self, batch: int) -> list[_Work]:
        if batch not in self._workspaces:
            hidden = [self._work(batch, width) for width in self.widths[1:-1]]
            self._workspaces[batch] = [*hidden, self._last_work(batch)]
        return self._workspaces[batch]

    def _work(self, batch: int, width: int) -> _Work:
        shape = batch, width
        linear = self._empty(*shape)
        active = linear if self.activation.from_output and not self.norms else self._empty(*shape)
        needed = self._dropout is not None and self._dropout.needed
        output = self._empty(*shape) if needed else active
        slope = self._empty(*shape)
        return _Work(linear=linear, normal=linear, active=active, output=output, slope=slope, slope_t=slope.mT)

    def _last_work(self, batch: int) -> _Work:
        outputs, slope_t = (self._empty(self.widths[-1], batch) for _ in range(2))
        return _Work(linear=outputs, normal=outputs, active=outputs, output=outputs, slope=slope_t.mT, slope_t=slope_t)

    def _empty(self, *shape: int) -> Tensor:
        return torch.empty(self.members, *shape, dtype=self.dtype, device=self.device)

    def predict(self, feeds: Sequence[Feed]) -> Tensor:
        samples = max(1, PREDICTED_NUMBERS // (self.members * max(self.widths)))
        with torch.inference_mode():
            outputs = [self._predict(x.flatten(1)) for (x,) in chunks(feeds, samples, self.device)]
            return outputs[0] if len(outputs) == 1 else torch.cat(outputs, 1)

    def _predict(self, samples: Tensor) -> Tensor:
        x = samples.expand(self.members, *samples.shape)
        for layer in self.layers[:-1]:
            x = torch.baddbmm(layer.bias, x, layer.weight_t)
            if layer.norm is not None:
                x = layer.norm.predict(x)
            active = x if self.activation.from_output else torch.empty_like(x)
            self.activation.forward(x, active)
            x = active
        return torch.baddbmm(self.layers[-1].bias, x, self.layers[-1].weight_t)


def _norm(index: int, modules: Sequence[MLP], values: dict[str, Tensor], slopes: dict[str, Tensor]) -> Normalization:
    names = {name: f"norms.{index}.{name}" for name in ("weight", "bias")}
    own = {name: values[place] for name, place in names.items()}, {name: slopes[place] for name, place in names.items()}
    if modules[0].normalization == "layer":
        return LayerNorm(*own)
    return BatchNorm(*own, [module.norms[index] for module in modules])


class _Dropout:
    """The members' masks. Each member draws from its own generator, in amounts that depend on itself alone."""

    def __init__(self, rates: Sequence[float], hidden: Sequence[int], like: Tensor) -> None:
        self.needed = any(rates)
        self.hidden = tuple(hidden)
        self.dtype, self.device = like.dtype, like.device
        # A mask keeps a unit if a uniform 16-bit number reaches its threshold.
        self.thresholds = torch.tensor(
            [[min(round(rate * 2**16), 2**16 - 1) - 2**15] for rate in rates], dtype=torch.int16, device=like.device
        )
        self.scales = torch.tensor([[1.0 / (1.0 - rate)] for rate in rates], dtype=like.dtype, device=like.device)
        self.generators: list[torch.Generator] = []
        self._drawn: dict[int, tuple[Tensor, Tensor, list[list[Tensor]]]] = {}
        self._batch = 0
        self._steps: Iterator[list[Tensor]] = iter(())

    def start(self, seeds: Sequence[int]) -> None:
        """Begin an epoch."""
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds] if self.needed else []
        self._batch = 0

    def masks(self, batch: int) -> list[Tensor]:
        """Return the masks ``[M, B, H]`` of the next step, one for each hidden layer."""
        masks = next(self._steps, None) if batch == self._batch else None
        if masks is None:
            self._batch = batch
            self._steps = self._draw(batch)
            masks = next(self._steps)
        return masks

    def _draw(self, batch: int) -> Iterator[list[Tensor]]:
        """Draw for several steps at once: first all masks of the first layer, then all of the second, and so on."""
        if batch not in self._drawn:
            self._drawn[batch] = self._room(batch)
        bits, masks, steps = self._drawn[batch]
        for row, generator in zip(bits, self.generators, strict=True):
            row.random_(-(2**63), None, generator=generator)
        uniform = sent(bits, self.device).view(torch.int16)[:, : masks.shape[1]]
        torch.ge(uniform, self.thresholds, out=masks).mul_(self.scales)
        return iter(steps)

    def _room(self, batch: int) -> tuple[Tensor, Tensor, list[list[Tensor]]]:
        """Make room to draw in: random bits, masks in a row for each member, and views of them by step and layer."""
        members = len(self.generators)
        # An epoch's batches are of one size but for the last one, which may be smaller.
        steps = 1 if self._drawn and batch < max(self._drawn) else max(1, DRAWN_NUMBERS // (batch * sum(self.hidden)))
        numbers = steps * batch * sum(self.hidden)
        bits = torch.empty(members, -(-numbers // 4), dtype=torch.int64)
        masks = torch.empty(members, numbers, dtype=self.dtype, device=self.device)
        layers = torch.split(masks, [steps * batch * width for width in self.hidden], 1)
        by_layer = [
            layer.view(members, steps, batch, width).unbind(1) for layer, width in zip(layers, self.hidden, strict=True)
        ]
        return bits, masks, [list(step) for step in zip(*by_layer, strict=True)]
