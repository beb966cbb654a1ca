"""M networks of one shape whose parameters are the rows of one flat buffer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from tuner.training.data import Feed
from tuner.training.feeding import chunks
from tuner.training.losses import Loss
from tuner.training.precision import FULL_PRECISION, Compute
from tuner.training.returns import one_each, outputs_of


@dataclass(frozen=True)
class Layout:
    """Where each parameter lies in a row: first weights, which are penalised, then biases and norms."""

    shapes: dict[str, torch.Size]
    """Name and shape of each trainable parameter in the order they lie in the row."""
    weights: int
    """So many numbers at the beginning of the row are weights: they belong to parameters of two or more axes."""
    size: int
    """Length of the row."""
    dtype: torch.dtype

    @staticmethod
    def of(module: nn.Module) -> Layout:
        """Return the layout of the module's trainable parameters."""
        parameters = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        if not parameters:
            raise ValueError(f"{type(module).__name__} has no trainable parameter")
        dtypes = {p.dtype for _, p in parameters}
        if len(dtypes) != 1:
            raise ValueError(f"all trainable parameters must be of one dtype, got {sorted(map(str, dtypes))}")
        parameters.sort(key=lambda item: item[1].ndim < 2)
        return Layout(
            shapes={name: p.shape for name, p in parameters},
            weights=sum(p.numel() for _, p in parameters if p.ndim >= 2),
            size=sum(p.numel() for _, p in parameters),
            dtype=dtypes.pop(),
        )

    def views(self, rows: Tensor) -> dict[str, Tensor]:
        """Return the parameters ``[..., *shape]`` as views of the rows ``[..., P]``."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        pieces = torch.split(rows, sizes, dim=-1)
        lead = rows.shape[:-1]
        return {
            name: piece.view((*lead, *shape)) for (name, shape), piece in zip(self.shapes.items(), pieces, strict=True)
        }

    def read(self, module: nn.Module) -> Tensor:
        """Return the module's trainable parameters as one row ``[P]``."""
        parameters = dict(module.named_parameters())
        return torch.cat([parameters[name].detach().reshape(-1) for name in self.shapes])

    def write(self, row: Tensor, module: nn.Module) -> None:
        """Give the module parameters of its own that hold the row's values."""
        parameters = dict(module.named_parameters())
        for name, value in self.views(row).items():
            parameters[name].data = value.detach().clone(memory_format=torch.contiguous_format)
            parameters[name].grad = None


class Network(Protocol):
    """M members that learn side by side. One member's numbers never reach another's."""

    smallest_batch: int
    """The fewest samples a batch may have in training."""
    repeatable: bool
    """Whether a step does the same whatever the numbers are, and draws none: it may be recorded (see graphs.py)."""

    def epoch(self, seeds: Sequence[int]) -> AbstractContextManager[None]:
        """Inside, the members train one epoch; their dropout follows from the seeds."""

    def prepare(self, targets: Tensor) -> Tensor:
        """Return the targets ``[S, M, B, ...]`` of S steps as ``forward_backward`` wants them, ``[S, M, ...]``."""

    def forward_backward(self, inputs: tuple[Tensor, ...], targets: Tensor) -> Tensor:
        """Write the gradient of the mean losses into the gradient rows; return the losses ``[M]``.

        Shape: inputs ``[M, B, ...]``; targets are what ``prepare`` returned for this step.
        """

    def predict(self, feeds: Sequence[Feed]) -> Tensor:
        """Return the outputs ``[M, N, ...]`` in evaluation mode for samples ``[N, ...]`` that all members share."""

    def buffers(self) -> dict[str, Tensor]:
        """Return what else the members have learned (running statistics), by name, ``[M, ...]``."""


class Autograd:
    """Any modules: autograd differentiates them, one after the other, into the rows of the buffers."""

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
        self.modules = list(modules)
        self.loss = loss
        self.gradient = gradient
        self.device = weights.device
        self.smallest_batch = smallest_batch(modules[0])
        self.repeatable = False  # nobody knows what the module does
        self._random: list[Tensor] = []
        self.parameters = []
        for module, row in zip(self.modules, weights, strict=True):
            parameters = dict(module.named_parameters())
            for name, value in layout.views(row).items():
                parameters[name].data = value
            self.parameters.append([parameters[name] for name in layout.shapes])

    @contextmanager
    def epoch(self, seeds: Sequence[int]) -> Iterator[None]:
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            self._random = []
            for seed in seeds:
                torch.manual_seed(seed)
                self._random.append(self._random_state())
            for module in self.modules:
                train(module)
            yield
            for module in self.modules:
                module.eval()

    def prepare(self, targets: Tensor) -> Tensor:
        return targets

    def forward_backward(self, inputs: tuple[Tensor, ...], targets: Tensor) -> Tensor:
        alone = len(self.modules) == 1
        losses = []
        for index, module in enumerate(self.modules):
            if not alone:
                self._set_random_state(self._random[index])
            with self.compute.autocast(self.device):
                outputs = outputs_of(module, module(*(x[index] for x in inputs)))
            loss = self.loss(self.compute.outputs(outputs).unsqueeze(0), targets[index : index + 1])
            loss = one_each(loss, 1, f"the loss {type(self.loss).__name__}")
            factor = None if self.compute.factors is None else self.compute.factors[index : index + 1]
            slopes = torch.autograd.grad(
                loss, self.parameters[index], factor, allow_unused=True, materialize_grads=True
            )
            torch.cat([slope.flatten() for slope in slopes], out=self.gradient[index])
            losses.append(loss.detach())
            if not alone:
                self._random[index] = self._random_state()
        return torch.cat(losses)

    def predict(self, feeds: Sequence[Feed]) -> Tensor:
        return torch.stack([predict(module, feeds) for module in self.modules])

    def buffers(self) -> dict[str, Tensor]:
        own = [dict(module.named_buffers()) for module in self.modules]
        return {name: torch.stack([buffers[name] for buffers in own]) for name in own[0]}

    def _random_state(self) -> Tensor:
        return torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else torch.get_rng_state()

    def _set_random_state(self, state: Tensor) -> None:
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state, self.device)
        else:
            torch.set_rng_state(state)


def train(module: nn.Module) -> None:
    """Put the module into training mode; batch normalization that is frozen keeps its statistics."""
    module.train()
    for one in module.modules():
        if isinstance(one, nn.modules.batchnorm._BatchNorm) and one.affine and not one.weight.requires_grad:
            one.eval()


def smallest_batch(module: nn.Module) -> int:
    """Return the fewest samples from which the module can learn: batch normalization needs two."""
    return 2 if any(isinstance(one, nn.modules.batchnorm._BatchNorm) for one in module.modules()) else 1


def shown_at_once(device: torch.device) -> int:
    """Return how many samples a module is shown when it only predicts.

    On the CPU more of them are no quicker, and slower where what the layers make of them leaves the cache.
    """
    return 512 if device.type == "cpu" else 4096


def predict(module: nn.Module, feeds: Sequence[Feed], samples: int | None = None) -> Tensor:
    """Return the module's outputs ``[N, ...]``, in evaluation mode and without gradients, computed in chunks.

    The samples are brought to where the module lies.
    """
    device = next((p.device for p in module.parameters()), torch.device("cpu"))  # what has no weights lies nowhere
    samples = samples or shown_at_once(device)
    training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            outputs = [module(*chunk) for chunk in chunks(feeds, samples, device)]
            return outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    finally:
        module.train(training)
