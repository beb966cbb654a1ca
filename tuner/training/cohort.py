"""The training loop: a cohort of members learns one epoch at a time, as one network.

There is one loop for one member and for many. Tensors have the member axis first; row i of each belongs to member i.
Members come and go between epochs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tuner.training import batches
from tuner.training.data import Dataset, Part, Placement
from tuner.training.fusion import Fusion
from tuner.training.judging import Metric, judge
from tuner.training.member import Member
from tuner.training.network import smallest_batch
from tuner.training.randomness import derive, order, used
from tuner.training.recipe import RecipeError
from tuner.training.stack import Stack
from tuner.training.variation import varied


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """What one epoch of one member came to."""

    number: int
    """The member's."""
    epoch: int
    """Epochs finished, this one included."""
    training_loss: float
    """Mean data loss of the epoch's batches, weighted by their sizes, as they were seen; without penalties."""
    validation_loss: float
    """Mean data loss of the validation part after the epoch."""
    learning_rate: float
    """That of the epoch's last step."""
    metrics: dict[str, float]
    """Scores on the validation part after the epoch."""
    seconds: float
    """The member's share of the epoch's time."""
    best_epoch: int
    """The epoch with the best score so far; 0 if none has a score."""
    improved: bool
    """This epoch is the best so far."""
    stopped: bool
    """Early stopping: patience is over. The member has left."""
    finished: bool
    """All epochs of the recipe are done. The member has left."""
    diverged: bool
    """The loss or a weight is not a finite number. The member has left."""


class Cohort:
    """Members that are trained together: those of one shape as one network, as far as it pays; the others in turn.

    They learn from ``dataset``, unless they bring one of their own.
    """

    def __init__(self, dataset: Dataset, metrics: Sequence[Metric] = (), *, device: torch.device | str = "cpu") -> None:
        self._placement = Placement(device)
        self.device = self._placement.device
        self.dataset = self._placement.of(dataset)
        self.metrics = tuple(metrics)
        self.members: list[Member] = []
        self._fusion = Fusion(self.dataset, self.device)
        self._stacks: list[Stack] = []
        self._changed = False

    def __len__(self) -> int:
        return len(self.members)

    def join(self, member: Member) -> None:
        """Let a member take part from the next epoch on, whatever its shape; those of one key are fused."""
        if member in self.members:
            raise ValueError(f"member {member.number} is already in the cohort")
        names = ("validation_loss", *(metric.name for metric in self.metrics))
        if member.recipe.monitor is not None and member.recipe.monitor not in names:
            raise RecipeError(f"unknown monitor {member.recipe.monitor!r}; choose one of {', '.join(names)}")
        if member.epoch >= member.recipe.epochs:
            raise ValueError(f"member {member.number} has finished its {member.recipe.epochs} epochs")
        samples = used(len(self.data_of(member).training), member.recipe.data_fraction)
        batches.sizes(samples, member.recipe.batch_size, smallest_batch(member.module))
        self.members.append(member)
        self._changed = True

    def leave(self, member: Member) -> None:
        """Let a member go; its module then holds the best epoch's weights. Does nothing if it is not here."""
        if member not in self.members:
            return
        self.members.remove(member)
        self._unstack(member)
        member.row = {name: value.clone() for name, value in member.row.items()}
        member.take_best()

    def abandon(self) -> None:
        """Let all members go as they are, after an error in the midst of an epoch: nothing is copied or restored."""
        self.members.clear()
        self._stacks.clear()

    def state(self, member: Member) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what continues the member exactly from its last finished epoch, in any cohort. Not during an epoch."""
        return member.state()

    def restore(self, member: Member, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Continue a member from what ``state`` returned, before or after it joins."""
        member.restore(tensors, meta)
        self._unstack(member)

    def epoch(self) -> list[EpochResult]:
        """Train all members one epoch and judge them. The results are in the order in which the members joined."""
        if self._changed:
            self._regroup()
        results: dict[Member, EpochResult] = {}
        for stack in self._stacks:
            started = time.perf_counter()
            training_loss, rates = self._learn(stack)
            with torch.no_grad():
                report = self._judge(stack, training_loss)
                results |= self._conclude(stack, report, rates, started)
        in_order = [results[member] for member in self.members]
        for member, result in results.items():
            if result.stopped or result.finished or result.diverged:
                self.leave(member)
        return in_order

    def _unstack(self, member: Member) -> None:
        self._stacks = [stack for stack in self._stacks if member not in stack.members]
        self._changed = True

    def _regroup(self) -> None:
        """Stack the members anew, but for the groups in which nobody has come or gone."""
        kept = {tuple(stack.members): stack for stack in self._stacks}
        groups = self._fusion.groups(self.members)
        self._stacks = [kept.get(tuple(group)) or Stack(group, self.data_of(group[0]), self.device) for group in groups]
        self._changed = False

    def data_of(self, member: Member) -> Dataset:
        """Return what the member learns from, on the cohort's device."""
        return self.dataset if member.dataset is None else self._placement.of(member.dataset)

    def learned_by(self, member: Member) -> Part:
        """Return the samples that the member learns from: what its data fraction leaves of the training part."""
        part, recipe = self.data_of(member).training, member.recipe
        if recipe.data_fraction == 1.0:
            return part
        return part.only(order(recipe.seed, 0, len(part), recipe.data_fraction).sort().values)

    def _learn(self, stack: Stack) -> tuple[Tensor, Tensor]:
        """Take the steps of one epoch; return the mean training losses ``[M]`` and the last learning rates ``[M]``."""
        part = stack.dataset.training
        recipes = stack.recipes
        samples = used(len(part), recipes[0].data_fraction)
        sizes = batches.sizes(samples, recipes[0].batch_size, stack.network.smallest_batch)
        orders = [order(m.recipe.seed, m.epoch, len(part), m.recipe.data_fraction) for m in stack.members]
        seeds = [derive(m.recipe.seed, "dropout", m.epoch) for m in stack.members]
        rates = stack.begin(len(sizes))
        losses = []
        if part.vary is None:
            feed = batches.batches(part, torch.stack(orders), sizes, self.device, stack.network.prepare)
        else:
            chances = [derive(m.recipe.seed, "variation", m.epoch) for m in stack.members]
            feed = varied(part, torch.stack(orders), sizes, self.device, stack.network.prepare, seeds=chances)
        with closing(feed), stack.network.epoch(seeds):
            for step, (inputs, targets) in enumerate(feed):
                losses.append(stack.network.forward_backward(inputs, targets))
                stack.step(step)
        stack.keep_buffers()
        shares = torch.tensor(sizes, dtype=stack.weights.dtype, device=self.device) / samples
        return torch.stack(losses, 1).mv(shares), rates[:, -1]

    def _judge(self, stack: Stack, training_loss: Tensor) -> Tensor:
        """Return validation loss, training loss, sum of the weights, then the metrics: ``[3 + K, M]``, on the host."""
        loss, scores = judge(stack.network.predict, stack.dataset.validation, stack.loss, self.metrics)
        numbers = [loss, training_loss, stack.weights.sum(1), *scores]
        return torch.stack([number.to(torch.float64) for number in numbers]).cpu()

    def _conclude(self, stack: Stack, report: Tensor, rates: Tensor, started: float) -> dict[Member, EpochResult]:
        """Take note of an epoch's report: best weights, patience, plateaus, divergence."""
        for member in stack.members:
            member.epoch += 1
        epochs = torch.tensor([member.epoch for member in stack.members])
        healthy = torch.isfinite(report[:3]).all(0)
        scores = self._scores(stack, report).masked_fill(~healthy, torch.nan)
        best, over = stack.stopping.update(scores, report[0], epochs)
        stack.plateau.update(report[0])
        if bool(best.any()):
            stack.keep_best(best)
        seconds = (time.perf_counter() - started) / len(stack.members)
        columns = (report.t(), rates, stack.stopping.best_epoch, best, over, healthy)
        results = {}
        for member, numbers, rate, best_epoch, improved, stopped, well in zip(
            stack.members, *(column.tolist() for column in columns), strict=True
        ):
            validation_loss, training_loss, _, *scores = numbers
            results[member] = EpochResult(
                number=member.number,
                epoch=member.epoch,
                training_loss=training_loss,
                validation_loss=validation_loss,
                learning_rate=rate,
                metrics={metric.name: score for metric, score in zip(self.metrics, scores, strict=True)},
                seconds=seconds,
                best_epoch=best_epoch,
                improved=improved,
                stopped=stopped and well,
                finished=well and member.epoch >= member.recipe.epochs,
                diverged=not well,
            )
        return results

    def _scores(self, stack: Stack, report: Tensor) -> Tensor:
        """Return what the members' best epochs are judged by ``[M]``: larger is better."""
        names = [metric.name for metric in self.metrics]
        places, signs = [], []
        for recipe in stack.recipes:
            monitor = recipe.monitor or (names[0] if names else "validation_loss")
            by_loss = monitor == "validation_loss"
            place = -1 if by_loss else names.index(monitor)
            places.append(0 if by_loss else 3 + place)
            signs.append(-1.0 if by_loss or self.metrics[place].direction == "minimize" else 1.0)
        return report[places, range(len(places))] * torch.tensor(signs, dtype=torch.float64)
