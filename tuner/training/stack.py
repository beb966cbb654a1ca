"""The rows of all members of a cohort, stacked, and what acts on them. Made anew whenever members come or go."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import cast

import torch
from torch import Tensor

from tuner.training import fused, optimizers, schedules
from tuner.training.analytic import AnalyticMLP
from tuner.training.data import Dataset
from tuner.training.graphs import Graphed
from tuner.training.member import Member
from tuner.training.mlp import MLP
from tuner.training.network import Autograd, Network
from tuner.training.penalties import Penalties
from tuner.training.precision import Compute, LossScale
from tuner.training.stopping import EarlyStopping
from tuner.training.vmapped import Vmapped


class Stack:
    """Members as one network. Stacking copies the rows; from then on a member's row is a view of the stack's tables."""

    def __init__(self, members: Sequence[Member], dataset: Dataset, device: torch.device) -> None:
        # Members whose optimizers are of one kind lie side by side, so that a group's rows are a slice and no copy.
        self.members = sorted(members, key=optimizer_name)
        self.recipes = [member.recipe for member in self.members]
        self.dataset = dataset
        self.loss = members[0].loss
        self.device = device
        common = [name for name in self.members[0].row if not name.startswith("optimizer.")]
        self.table = {name: self._table(name, self.members) for name in common}
        self.weights = self.table["weights"]
        self.gradient = torch.zeros_like(self.weights)
        for index, member in enumerate(self.members):
            member.row = {name: member.row[name] for name in member.row if name.startswith("optimizer.")} | {
                name: table[index] for name, table in self.table.items()
            }
        scaled = self.recipes[0].precision == "float16"
        factors = self.table["scale.factor"].squeeze(1) if scaled else None
        self.network = self._network(Compute(precision=self.recipes[0].precision, factors=factors))
        if device.type == "cuda" and self.network.repeatable:
            self.network = Graphed(self.network, self.gradient)
        layout = self.members[0].layout
        self.penalties = Penalties(self.recipes, layout, self.weights, self.gradient)
        self.plateau = schedules.Plateau(self.recipes, self.table)
        self.stopping = EarlyStopping(self.recipes, self.table)
        self.optimizers = self._optimizers()
        self.scale = LossScale(self.table, self.gradient, self._changing()) if scaled else None
        self._scales = self._learning_rate_scales()
        self._before = torch.empty_like(self.weights) if self._scales is not None else self.weights

    def _table(self, name: str, members: Sequence[Member]) -> Tensor:
        """Return one tensor of all members ``[M, ...]``. Single numbers stay on the host."""
        table = torch.stack([member.row[name] for member in members])
        return table if table.ndim == 1 and "buffer." not in name else table.to(self.device)

    def _network(self, compute: Compute) -> Network:
        modules = [member.module.to(self.device) for member in self.members]
        layout = self.members[0].layout
        for member in self.members:
            for name, buffer in member.module.named_buffers():
                buffer.copy_(member.row[f"buffer.{name}"])
        if all(member.analytic for member in self.members):
            return AnalyticMLP(cast(list[MLP], modules), self.loss, layout, self.weights, self.gradient)
        kind = Autograd if len(modules) == 1 else Vmapped
        return kind(modules, self.loss, layout, self.weights, self.gradient, compute=compute)

    def _optimizers(self) -> list[tuple[slice, optimizers.Optimizer]]:
        """Return the optimizers and the rows that each of them steps."""
        groups: list[tuple[slice, optimizers.Optimizer]] = []
        start = 0
        for kind, grouped in groupby(self.members, key=lambda member: optimizers.kind(member.recipe)):
            group = list(grouped)
            rows = slice(start, start + len(group))
            slots = {slot: self._table(f"optimizer.{slot}", group) for slot in kind.slots}
            for index, member in enumerate(group):
                member.row |= {f"optimizer.{slot}": table[index] for slot, table in slots.items()}
            recipes = [member.recipe for member in group]
            weights, gradient = self.weights[rows], self.gradient[rows]
            groups.append((rows, fused.quickest(kind, weights)(recipes, weights, gradient, slots)))
            start = rows.stop
        return groups

    def _changing(self) -> list[tuple[slice, Tensor]]:
        """Return all that a step changes, with the rows it belongs to."""
        state = [(rows, tensor) for rows, optimizer in self.optimizers for tensor in optimizer.state]
        return [(slice(None), self.weights), *state]

    def _learning_rate_scales(self) -> Tensor | None:
        """Return what each number's learning rate is scaled by ``[M, P]``; ``None`` if none is scaled."""
        if all(member.scales is None for member in self.members):
            return None
        whole = torch.ones_like(self.weights[0], device="cpu")
        scales = [whole if member.scales is None else member.scales for member in self.members]
        return torch.stack(scales).to(self.device)

    def begin(self, steps: int) -> Tensor:
        """Prepare an epoch of so many steps; return its learning rates ``[M, steps]``, float64, on the host."""
        factors = torch.stack([schedules.factors(m.recipe, m.epoch, steps) for m in self.members])
        base = torch.tensor([recipe.learning_rate for recipe in self.recipes], dtype=torch.float64)
        rates = base.unsqueeze(1) * self.plateau.factor.unsqueeze(1) * factors
        updates = self.table["updates"]
        counts = (updates.unsqueeze(1) + torch.arange(1, steps + 1)).to(torch.float64)
        for rows, optimizer in self.optimizers:
            optimizer.begin(rates[rows], counts[rows])
        self.penalties.begin(rates)
        updates.add_(steps)
        return rates

    def step(self, index: int) -> None:
        """Change all weights by the gradient that lies ready: the epoch's step of this index.

        The change is proportional to the learning rate, with every optimizer and with weight decay; so a learning rate
        that is scaled scales the change.
        """
        if self.scale is not None:
            self.scale.before_step()
        if self._scales is not None:
            self._before.copy_(self.weights)
        self.penalties.apply(index)
        for _, optimizer in self.optimizers:
            optimizer.step(index)
        if self._scales is not None:
            torch.lerp(self._before, self.weights, self._scales, out=self.weights)
        if self.scale is not None:
            self.scale.after_step()

    def keep_buffers(self) -> None:
        """Copy what the network has learned beside its weights into the table."""
        for name, value in self.network.buffers().items():
            self.table[f"buffer.{name}"].copy_(value)

    def keep_best(self, best: Tensor) -> None:
        """Let this epoch be the best one of the members in the mask ``[M]``."""
        rows = best.nonzero().flatten().to(self.device)
        for name, table in self.table.items():
            if f"best.{name}" in self.table:
                self.table[f"best.{name}"].index_copy_(0, rows, table.index_select(0, rows))


def optimizer_name(member: Member) -> str:
    """Return what the members are sorted by."""
    return optimizers.kind(member.recipe).__name__
