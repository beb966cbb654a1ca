"""M modules of one structure, learning side by side: ``torch.func.vmap`` runs their forward passes as one.

Not every module can be fused (random numbers, data-dependent control flow, operations without a batching rule), and not
everywhere does it pay. So a group is fused only after a trial: one batch, both ways, same numbers and less time.
"""

from __future__ import annotations

import logging
import time
import warnings
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from tuner.training.data import Feed
from tuner.training.feeding import chunks
from tuner.training.losses import Loss
from tuner.training.network import Autograd, Layout, Network, shown_at_once, smallest_batch, train
from tuner.training.precision import FULL_PRECISION, TOLERANCES, Compute

logger = logging.getLogger(__name__)
notes = logging.getLogger("tuner.notes")

FALLS_BACK = "There is a performance drop"
"""What vmap's warning begins with where it knows no way but a loop."""
TRIED_STEPS = 3
"""Steps of the trial, of which the quickest counts."""


def structure(module: nn.Module) -> Hashable:
    """Return what two modules have in common if they differ in the values of parameters and buffers alone.

    What cannot be compared (an object without a ``repr`` of its own, a hook) makes a module unlike any other.
    """
    return tuple((name, type(one), _settings(one)) for name, one in module.named_modules())


_NO_SETTINGS = {name for name in vars(nn.Module()) if not name.startswith(("_forward", "_backward"))}
"""What every module has but hooks that computing calls: parameters, buffers and children are compared apart."""


def _settings(module: nn.Module) -> Hashable:
    return tuple((name, _said(value)) for name, value in sorted(vars(module).items()) if name not in _NO_SETTINGS)


def _said(value: object) -> Hashable:
    """Return what a setting comes to, tensors and arrays whole."""
    if isinstance(value, nn.Parameter | weakref.ref):  # nn.LSTM lists its own
        return type(value).__name__
    if isinstance(value, Tensor | np.ndarray):
        return str(value.dtype), tuple(value.shape), str(value.tolist())
    if isinstance(value, Mapping):
        return type(value), tuple((_said(key), _said(one)) for key, one in value.items())
    if isinstance(value, list | tuple):
        return type(value), tuple(map(_said, value))
    return type(value), repr(value)


class Vmapped:
    """Modules of one structure. See ``network.Network`` for what the methods promise."""

    def __init__(
        self,
        modules: Sequence[nn.Module],
        loss: Loss,
        layout: Layout,
        weights: Tensor,
        gradient: Tensor,
        *,
        compute: Compute = FULL_PRECISION,
    ) -> None:
        self.compute = compute
        self.loss = loss
        self.gradient = gradient
        self.smallest_batch = smallest_batch(modules[0])
        self.repeatable = True  # vmap lets nothing through that draws numbers, or depends on their values
        self.base = deepcopy(modules[0]).eval()
        self.parameters = {name: value.detach().requires_grad_() for name, value in layout.views(weights).items()}
        own = [dict(module.named_parameters()) | dict(module.named_buffers()) for module in modules]
        self._rest = {
            name: torch.stack([values[name].detach() for values in own]) for name in own[0] if name not in layout.shapes
        }
        self._buffers = [name for name, _ in modules[0].named_buffers()]

    @contextmanager
    def epoch(self, seeds: Sequence[int]) -> Iterator[None]:
        train(self.base)
        yield
        self.base.eval()

    def prepare(self, targets: Tensor) -> Tensor:
        return targets

    def forward_backward(self, inputs: tuple[Tensor, ...], targets: Tensor) -> Tensor:
        with self.compute.autocast(self.gradient.device):
            outputs = self._outputs(inputs, 0)
        loss = self.loss(self.compute.outputs(outputs), targets)
        factors = torch.ones_like(loss) if self.compute.factors is None else self.compute.factors
        slopes = torch.autograd.grad(
            loss, list(self.parameters.values()), factors, allow_unused=True, materialize_grads=True
        )
        torch.cat([slope.reshape(len(slope), -1) for slope in slopes], 1, out=self.gradient)
        return loss.detach()

    def predict(self, feeds: Sequence[Feed]) -> Tensor:
        samples = max(1, shown_at_once(self.gradient.device) // len(self.gradient))
        with torch.no_grad():
            return torch.cat([self._outputs(x, None) for x in chunks(feeds, samples, self.gradient.device)], 1)

    def buffers(self) -> dict[str, Tensor]:
        return {name: self._rest[name] for name in self._buffers}

    def _outputs(self, inputs: tuple[Tensor, ...], member_axis: int | None) -> Tensor:
        with _plain_attention():
            outputs: Tensor = torch.vmap(self._output, in_dims=(0, 0, member_axis), randomness="error")(
                self.parameters, self._rest, inputs
            )
        return outputs

    def _output(self, parameters: dict[str, Tensor], rest: dict[str, Tensor], inputs: tuple[Tensor, ...]) -> Tensor:
        output: Tensor = functional_call(self.base, (parameters, rest), inputs)
        return output


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Inside, attention is made of operations that have batching rules."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def pays(
    modules: Sequence[nn.Module],
    loss: Loss,
    inputs: tuple[Tensor, ...],
    targets: Tensor,
    precision: str = "float32",
) -> bool:
    """Tell whether modules of one structure learn the same when they are fused, and faster; say why, if not.

    Shape: one batch, inputs ``[B, ...]`` and targets ``[B, ...]``. The modules stay as they are.
    """
    name = type(modules[0]).__name__
    compute = Compute(precision=precision)
    if precision != "float32" and inputs[0].device.type == "cpu":  # vmap passes by what autocast acts on there
        notes.info("%s is trained alone: on the CPU, no fused network computes in %s", name, precision)
        return False
    try:
        alone, alone_seconds = _tried(Autograd, modules, loss, inputs, targets, compute=compute)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=FALLS_BACK)
            fused, fused_seconds = _tried(Vmapped, modules, loss, inputs, targets, compute=compute)
    except torch.OutOfMemoryError:
        raise  # so many do not fit: that says nothing of fusing fewer
    except (RuntimeError, NotImplementedError, UserWarning, ValueError, TypeError) as error:
        notes.info("%s is trained alone, as it cannot be fused: %s", name, _reason(error))
        return False
    tolerance = TOLERANCES.get(precision, 1e-8 if modules_dtype(modules) == torch.float64 else 1e-3)
    for one, same in zip(alone, fused, strict=True):
        if not torch.allclose(one, same, rtol=tolerance, atol=tolerance * float(one.abs().max()), equal_nan=True):
            notes.info("%s is trained alone: fused, it gives other numbers", name)
            return False
    if fused_seconds >= alone_seconds:
        notes.info("%s is trained alone: fused, it is slower", name)
        logger.info("%d of %s fused: %.1f times slower", len(modules), name, fused_seconds / alone_seconds)
        return False
    logger.info("%d of %s are fused: %.1f times faster", len(modules), name, alone_seconds / fused_seconds)
    return True


def _reason(error: Exception) -> str:
    text = str(error).split("\n", 1)[0]
    return "its forward pass draws random numbers (dropout, noise)" if "random operation" in text else text


def modules_dtype(modules: Sequence[nn.Module]) -> torch.dtype:
    """Return the dtype of the modules' trainable parameters."""
    return Layout.of(modules[0]).dtype


def _tried(
    kind: Callable[..., Network],
    modules: Sequence[nn.Module],
    loss: Loss,
    inputs: tuple[Tensor, ...],
    targets: Tensor,
    *,
    compute: Compute = FULL_PRECISION,
) -> tuple[list[Tensor], float]:
    """Return losses, gradients, buffers and predictions of copies of the modules, and the seconds of a step."""
    copies = [deepcopy(module) for module in modules]
    layout = Layout.of(copies[0])
    weights = torch.stack([layout.read(module) for module in copies])
    gradient = torch.zeros_like(weights)
    network = kind(copies, loss, layout, weights, gradient, compute=compute)
    members = len(copies)
    xs, y = tuple(x.expand(members, *x.shape) for x in inputs), targets.expand(members, *targets.shape)
    seconds = float("inf")
    with network.epoch([0] * members):
        for _ in range(TRIED_STEPS):
            started = time.perf_counter()
            losses = network.forward_backward(xs, y)
            if losses.device.type == "cuda":
                torch.cuda.synchronize(losses.device)
            seconds = min(seconds, time.perf_counter() - started)
    learned = [value.to(torch.float64) for value in network.buffers().values()]
    return [losses, gradient, *learned, network.predict(inputs)], seconds
