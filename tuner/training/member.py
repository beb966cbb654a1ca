"""One trial of a cohort: what it is made of, and everything it has learned so far."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tuner.errors import TunerError
from tuner.training import optimizers
from tuner.training.analytic import AnalyticMLP
from tuner.training.data import Dataset
from tuner.training.layers import LayersOf, freeze, in_order, learning_rate_scales
from tuner.training.losses import Loss
from tuner.training.network import Layout
from tuner.training.precision import LossScale
from tuner.training.randomness import seeded, used
from tuner.training.recipe import Recipe
from tuner.training.schedules import Plateau
from tuner.training.stopping import EarlyStopping
from tuner.training.vmapped import structure

STATE_VERSION = 2


class CheckpointError(TunerError):
    """The checkpoint does not belong to this network."""


class Member:
    """A network, the recipe it is trained by, and its row: every tensor that changes while it learns.

    The row holds the weights ``[P]``, the best epoch's weights ``[P]``, the optimizer's slots ``[P]`` and single
    numbers. In a cohort it is a row of the cohort's tensors; outside, the member owns it. The module is only a
    description while the member is in a cohort; when it leaves, the module holds the best epoch's weights.
    ``dataset`` is what it learns from, if not what its cohort learns from; ``layers`` tells how deep parameters lie.
    """

    def __init__(
        self,
        *,
        number: int,
        recipe: Recipe,
        module: nn.Module,
        loss: Loss,
        dataset: Dataset | None = None,
        layers: LayersOf = in_order,
    ) -> None:
        self.number = number
        self.recipe = recipe
        self.module = module
        self.loss = loss
        self.dataset = dataset
        freeze(module, recipe, layers)
        self.layout = Layout.of(module)
        self.scales = learning_rate_scales(module, self.layout, recipe, layers)
        """What the learning rate is scaled by for each number of the row ``[P]``, if by anything."""
        self.epoch = 0
        """Epochs it has finished."""
        self.row = self._new_row()

    @classmethod
    def build(
        cls,
        *,
        number: int,
        recipe: Recipe,
        network: Callable[[], nn.Module],
        loss: Loss,
        dataset: Dataset | None = None,
        layers: LayersOf = in_order,
    ) -> Member:
        """Make a member whose initial weights follow from the recipe's seed alone."""
        with seeded(recipe.seed, "weights"):
            module = network()
        return cls(number=number, recipe=recipe, module=module, loss=loss, dataset=dataset, layers=layers)

    def _new_row(self) -> dict[str, Tensor]:
        weights = self.layout.read(self.module)
        learned = {"weights": weights} | {
            f"buffer.{name}": buffer.detach().clone() for name, buffer in self.module.named_buffers()
        }
        return (
            learned
            | {f"best.{name}": value.clone() for name, value in learned.items()}
            | {f"optimizer.{slot}": torch.zeros_like(weights) for slot in optimizers.kind(self.recipe).slots}
            | {"updates": torch.tensor(0)}
            | EarlyStopping.initial()
            | (LossScale.initial() if self.recipe.precision == "float16" else {})
            | Plateau.initial()
        )

    @property
    def best_epoch(self) -> int:
        """The epoch with the best score, counted from 1; 0 if there is none."""
        return int(self.row["best.epoch"])

    @property
    def analytic(self) -> bool:
        """Whether its gradients are written out. In mixed precision a multilayer perceptron is a module like others."""
        return self.recipe.precision == "float32" and AnalyticMLP.accepts(self.module)

    def key(self, dataset: Dataset) -> tuple[Dataset, Hashable]:
        """Return what members must have in common to be fused: the data, then network shape, batch size, loss, ….

        ``dataset`` is what the member learns from if it has none of its own.
        """
        own = self.dataset or dataset
        samples = used(len(own.training), self.recipe.data_fraction)
        shape: Hashable = tuple(self.layout.shapes.items())
        if self.analytic:
            shape = ("mlp", self.module.activation, self.module.normalization, shape)
        else:
            shape = (structure(self.module), shape)
        batch = min(self.recipe.batch_size or samples, samples)
        return own, (shape, self.layout.dtype, self.recipe.precision, batch, samples, self.loss)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return copies of all tensors, on the CPU, and a description for JSON: what continues the member exactly."""
        tensors = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in self.row.items()}
        shapes = {name: list(shape) for name, shape in self.layout.shapes.items()}
        meta = {"version": STATE_VERSION, "epoch": self.epoch, "optimizer": self.recipe.optimizer, "shapes": shapes}
        return tensors, meta

    def restore(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Continue from what ``state`` returned; raises CheckpointError if it is another network's or optimizer's."""
        if meta.get("version") == 1:  # it did not know the best epoch's loss
            tensors = {**tensors, "best.loss": EarlyStopping.initial()["best.loss"]}
        elif meta.get("version") != STATE_VERSION:
            raise CheckpointError(f"the checkpoint is of version {meta.get('version')}, not {STATE_VERSION}")
        wanted = {name: value.shape for name, value in self.row.items()}
        found = {name: value.shape for name, value in tensors.items()}
        if wanted != found:
            names = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
            raise CheckpointError(f"the checkpoint does not fit the network or its optimizer: {', '.join(names)}")
        self.row = {
            name: tensors[name].detach().to(value.device, value.dtype, copy=True) for name, value in self.row.items()
        }
        self.epoch = int(meta["epoch"])

    def take_best(self) -> nn.Module:
        """Put the best epoch's weights (the last ones, if no epoch was scored) into the module and return it."""
        best = "best." if self.best_epoch else ""
        with torch.no_grad():
            self.layout.write(self.row[f"{best}weights"], self.module)
            for name, buffer in self.module.named_buffers():
                buffer.copy_(self.row[f"{best}buffer.{name}"])
        return self.module
