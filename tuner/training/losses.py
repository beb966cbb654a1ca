"""Losses: one value per member, and the gradient with respect to the outputs.

Every loss is the mean over a member's samples, as ``torch.nn.functional`` has it. ``loss(outputs, targets)`` is made of
differentiable operations. ``loss.backward`` computes the same value and writes the gradient, without autograd: in few
operations, for it has the samples last, which is the quick way through a softmax, and targets that ``loss.prepare``
has made ready for many steps at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from tuner.training.recipe import RecipeError


class Loss(ABC):
    """What training makes small. Equal losses compare equal and hash alike: members of unequal ones are not fused.

    A loss of one's own only needs ``__call__``.
    """

    name: str
    additive: ClassVar[bool] = False
    """Whether it is a weighted mean over the targets' numbers, so that ``sums`` and ``best_constant`` are defined."""

    @abstractmethod
    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the ``[M]`` mean losses of outputs ``[M, B, ...]`` for targets ``[M, B, ...]``."""

    def prepare(self, targets: Tensor, outputs: int, dtype: torch.dtype) -> Tensor:
        """Return targets ``[S, M, B, ...]`` of S steps in the form, ``[S, M, ...]``, in which ``backward`` takes them.

        The network has so many outputs of this dtype for each sample.
        """
        return targets

    def backward(self, outputs: Tensor, targets: Tensor, gradient: Tensor) -> Tensor:
        """Return the ``[M]`` mean losses and write d loss / d outputs into ``gradient``.

        Shape: outputs and gradient ``[M, C, B]``, contiguous; targets are what ``prepare`` returned for this step.
        """
        with torch.inference_mode(False), torch.enable_grad():
            outputs, targets = outputs.mT.clone().requires_grad_(), targets.clone()
            loss = self(outputs, targets)
            (slope,) = torch.autograd.grad(loss.sum(), outputs)
        gradient.copy_(slope.mT)
        return loss.detach()

    def sums(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the ``[M]`` sums of the weighted losses and of the weights: of two chunks of samples, they add up."""
        raise NotImplementedError(f"{self.name} is no sum over samples")

    def from_sums(self, over: Tensor, under: Tensor) -> Tensor:
        """Return the ``[M]`` mean losses that sums come to; 0 where nothing weighs."""
        return over / torch.where(under == 0, 1, under)

    def best_constant(self, targets: Tensor, outputs: int) -> Tensor:
        """Return the outputs ``[outputs]`` that, given whatever the inputs are, make the loss least."""
        raise NotImplementedError(f"{self.name} has no best constant in closed form")


def _products(one: Tensor, other: Tensor) -> Tensor:
    """Return the ``[M]`` sums of the products of numbers ``[M, C, B]``."""
    members = len(one)
    return torch.bmm(one.view(members, 1, -1), other.view(members, -1, 1)).view(members)


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(Loss):
    """Softmax cross entropy of outputs ``[M, B, ..., C]`` and class numbers ``[M, B, ...]``.

    Class weights and label smoothing are those of ``torch.nn.functional.cross_entropy`` (mean over the weights).

    Raises:
        RecipeError: when the targets are no numbers of the outputs' classes (on a GPU only where their type shows it).
    """

    class_weights: tuple[float, ...] | None = None
    label_smoothing: float = 0.0
    ignore_index: int | None = None
    """Targets of this number (padding) count for nothing."""

    name = "cross_entropy"
    additive = True

    def __post_init__(self) -> None:
        if not 0.0 <= self.label_smoothing <= 1.0:
            raise ValueError(f"label_smoothing must be between 0 and 1, got {self.label_smoothing!r}")
        if self.class_weights is not None and not all(weight >= 0.0 for weight in self.class_weights):
            raise ValueError(f"class_weights must be 0 or more, got {self.class_weights!r}")

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self != CrossEntropy():
            return self.from_sums(*self.sums(outputs, targets))
        try:
            return _log_softmax(outputs).gather(-1, targets.unsqueeze(-1)).flatten(1).mean(1).neg()
        except RuntimeError:
            self._explain(targets, outputs.shape[-1])
            raise

    def sums(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        try:
            return self._sums(outputs, targets)
        except (RuntimeError, IndexError):
            self._explain(targets, outputs.shape[-1])
            raise

    def _sums(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        classes = outputs.shape[-1]
        weights = _class_weights(self, classes, outputs.dtype, outputs.device)
        losses = functional.cross_entropy(
            outputs.reshape(-1, classes),
            targets.reshape(-1),
            weight=weights,
            ignore_index=-100 if self.ignore_index is None else self.ignore_index,
            reduction="none",
            label_smoothing=self.label_smoothing,
        )
        counted = (
            torch.ones_like(targets, dtype=torch.bool) if self.ignore_index is None else targets != self.ignore_index
        )
        weighed = counted if weights is None else counted * weights[targets.where(counted, 0)]
        return losses.view(targets.shape).flatten(1).sum(1), weighed.flatten(1).sum(1)

    def best_constant(self, targets: Tensor, outputs: int) -> Tensor:
        """Return the logarithms of the classes' weighted and smoothed frequencies.

        A class that never occurs counts as half a sample, lest the loss of it be infinite.
        """
        self._require_classes(targets, outputs)
        counts = torch.bincount(self._counted(targets).flatten(), minlength=outputs).to(torch.float32)
        weights = _class_weights(self, outputs, counts.dtype, counts.device)
        weighted = counts if weights is None else counts * weights
        spread = (torch.ones_like(counts) if weights is None else weights) * counts.sum() / outputs
        sought = (1 - self.label_smoothing) * weighted + self.label_smoothing * spread
        return torch.where(sought > 0, sought, 0.5).log()

    def prepare(self, targets: Tensor, outputs: int, dtype: torch.dtype) -> Tensor:
        """Return ``[S, M, C, B]`` of which the loss is the product with the logarithms of the softmax."""
        try:
            return self._prepared(targets, outputs, dtype)
        except (RuntimeError, IndexError):
            self._explain(targets, outputs)
            raise

    def _prepared(self, targets: Tensor, outputs: int, dtype: torch.dtype) -> Tensor:
        rows, weights = _target_rows(self, outputs, dtype, targets.device)
        if self.ignore_index is not None:
            targets = torch.where(targets == self.ignore_index, outputs, targets)
        total: Tensor | int = targets.shape[-1]
        if self.class_weights is not None or self.ignore_index is not None:
            total = weights[targets].sum(-1)[..., None, None]
            total = torch.where(total == 0, 1, total)
        return torch.embedding(rows, targets).mT.contiguous().div_(-total)

    def backward(self, outputs: Tensor, targets: Tensor, gradient: Tensor) -> Tensor:
        scores = torch.log_softmax(outputs, 1)
        torch._log_softmax_backward_data(targets, scores, 1, outputs.dtype, out=gradient)
        return _products(targets, scores)

    def _counted(self, targets: Tensor) -> Tensor:
        return targets if self.ignore_index is None else targets[targets != self.ignore_index]

    def _explain(self, targets: Tensor, outputs: int) -> None:
        """Refuse targets that torch has refused; those on a GPU, which it refuses too late, for their type alone."""
        if targets.device.type == "cpu" or targets.is_floating_point():
            self._require_classes(targets, outputs)

    def _require_classes(self, targets: Tensor, outputs: int) -> None:
        """Refuse targets that are no numbers of so many classes.

        Raises:
            RecipeError: naming their type, or both counts.
        """
        if targets.dtype not in (torch.int64, torch.int32):
            kind = str(targets.dtype).removeprefix("torch.")
            raise RecipeError(f"CrossEntropy wants whole-number class targets (int64); these are {kind}")
        counted = self._counted(targets)
        if not counted.numel():
            return
        low, high = (int(number) for number in counted.aminmax())
        if high >= outputs:
            raise RecipeError(
                f"the network gives {outputs} output{'s' * (outputs != 1)}, the targets have {high + 1} classes"
            )
        if low < 0:
            raise RecipeError(f"CrossEntropy numbers classes from 0; the targets hold {low}")


FEW_CLASSES = 32
"""Up to so many classes, a softmax over the first axis of a copy is the quicker one."""


def _log_softmax(outputs: Tensor) -> Tensor:
    if outputs.shape[-1] > FEW_CLASSES or outputs.device.type != "cpu":
        return torch.log_softmax(outputs, -1)
    columns = outputs.reshape(-1, outputs.shape[-1]).t().contiguous()
    return torch.log_softmax(columns, 0).t().view(outputs.shape)


@lru_cache(maxsize=64)
def _class_weights(loss: CrossEntropy, classes: int, dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """Return the weights of the classes ``[C]``, if there are any."""
    if loss.class_weights is None:
        return None
    if len(loss.class_weights) != classes:
        raise ValueError(f"{len(loss.class_weights)} class weights for {classes} outputs")
    return torch.tensor(loss.class_weights, dtype=dtype, device=device)


@lru_cache(maxsize=64)
def _target_rows(loss: CrossEntropy, classes: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return for each class the distribution wanted of the outputs ``[C, C]`` and its weight ``[C]``."""
    if loss.class_weights is not None and len(loss.class_weights) != classes:
        raise ValueError(f"{len(loss.class_weights)} class weights for {classes} outputs")
    weights = torch.tensor(loss.class_weights or [1.0] * classes, dtype=dtype)
    rows = torch.diag(weights) * (1.0 - loss.label_smoothing) + weights * (loss.label_smoothing / classes)
    if loss.ignore_index is not None:
        rows = torch.cat([rows, rows.new_zeros(1, classes)])
        weights = torch.cat([weights, weights.new_zeros(1)])
    return rows.to(device), weights.to(device)


class _Elementwise(Loss):
    """A loss that is a mean over all values of a member."""

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self._values(outputs, _shaped(targets, outputs.shape, outputs.dtype)).flatten(1).mean(1)

    def prepare(self, targets: Tensor, outputs: int, dtype: torch.dtype) -> Tensor:
        return _shaped(targets, torch.Size([*targets.shape[:3], outputs]), dtype).mT.contiguous()

    def backward(self, outputs: Tensor, targets: Tensor, gradient: Tensor) -> Tensor:
        torch.div(self._slopes(outputs, targets), outputs[0].numel(), out=gradient)
        return self._values(outputs, targets).flatten(1).mean(1)

    @abstractmethod
    def _values(self, outputs: Tensor, targets: Tensor) -> Tensor: ...

    @abstractmethod
    def _slopes(self, outputs: Tensor, targets: Tensor) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class MeanSquaredError(_Elementwise):
    """Mean of the squared differences."""

    name = "mse"

    def backward(self, outputs: Tensor, targets: Tensor, gradient: Tensor) -> Tensor:
        share = 1.0 / outputs[0].numel()
        torch.sub(outputs, targets, out=gradient)
        loss = _products(gradient, gradient).mul_(share)
        gradient.mul_(2.0 * share)
        return loss

    def _values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).square()

    def _slopes(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).mul_(2.0)


@dataclass(frozen=True, kw_only=True)
class MeanAbsoluteError(_Elementwise):
    """Mean of the absolute differences."""

    name = "mae"

    def _values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).abs()

    def _slopes(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).sign_()


@dataclass(frozen=True, kw_only=True)
class Huber(_Elementwise):
    """Half the squared difference up to ``delta``, and ``delta * (|difference| - delta / 2)`` beyond."""

    delta: float = 1.0

    name = "huber"

    def __post_init__(self) -> None:
        if not self.delta > 0.0:
            raise ValueError(f"delta must be above 0, got {self.delta!r}")

    def _values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.nn.functional.huber_loss(outputs, targets, reduction="none", delta=self.delta)

    def _slopes(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).clamp_(-self.delta, self.delta)


@dataclass(frozen=True, kw_only=True)
class BinaryCrossEntropy(_Elementwise):
    """Cross entropy of each output, a logit, and a target between 0 and 1: for several labels a sample."""

    name = "binary_cross_entropy"

    def _values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.nn.functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")

    def _slopes(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.sigmoid().sub_(targets)


def _shaped(targets: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """Return targets as numbers of the outputs' shape ``[..., T]``: one ``[...]`` is one ``[..., 1]``.

    What would broadcast is refused.
    """
    if targets.ndim == len(shape) - 1:
        targets = targets.unsqueeze(-1)
    if targets.shape != shape:
        raise ValueError(f"targets {list(targets.shape)} do not fit outputs {list(shape)}")
    return targets.to(dtype)


LOSSES: dict[str, type[Loss]] = {
    kind.name: kind for kind in (CrossEntropy, BinaryCrossEntropy, MeanSquaredError, MeanAbsoluteError, Huber)
}
