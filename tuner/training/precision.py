"""Mixed precision: forward and backward passes in 16 bits, weights and their updates in 32.

Matrix products and convolutions run in the lower precision (``torch.autocast``), losses and scores in float32. In
float16 many gradients are so small that they would vanish: each member's loss is scaled up before the backward pass,
and its gradient down after it. The factor follows what the numbers bear, as in ``torch.amp.GradScaler``, but one for
each member, and without a word to the host: a step whose gradient is not finite is undone.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
TOLERANCES = {"bfloat16": 5e-2, "float16": 1e-2}
"""How far two ways of computing the same may differ, of the largest number."""


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Inside, networks compute in this precision; float32 is whatever their parameters are."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, _DTYPES[precision])


@dataclass(frozen=True, kw_only=True)
class Compute:
    """How the networks of M members compute."""

    precision: str = "float32"
    factors: Tensor | None = None
    """What the losses are scaled by ``[M]``."""

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Inside, networks compute in the precision."""
        return autocast(self.precision, device)

    def outputs(self, outputs: Tensor) -> Tensor:
        """Return a network's outputs as losses want them."""
        return outputs if self.precision == "float32" else outputs.float()


FULL_PRECISION = Compute()


class LossScale:
    """The factors of M members' losses, and the steps that are undone because theirs was too large."""

    GROWTH, BACKOFF, INTERVAL = 2.0, 0.5, 2000
    """As ``torch.amp.GradScaler``: twice as much after so many finite steps, half as much after one that is not."""

    @staticmethod
    def initial() -> dict[str, Tensor]:
        """Return the state of one new member: rows of one number, for the device."""
        return {"scale.factor": torch.tensor([2.0**16]), "scale.finite_steps": torch.tensor([0.0])}

    def __init__(self, state: dict[str, Tensor], gradient: Tensor, changing: Sequence[tuple[slice, Tensor]]) -> None:
        """``changing`` is all that a step changes, and the members whose rows it holds."""
        self.factor, self.finite_steps = state["scale.factor"], state["scale.finite_steps"]
        self.gradient = gradient
        self._changing = [(rows, tensor, torch.empty_like(tensor)) for rows, tensor in changing]
        self._finite = torch.ones_like(self.factor, dtype=torch.bool)

    def before_step(self) -> None:
        """Scale the gradient back; where it is not finite, make it zero and the factor smaller."""
        self.gradient.div_(self.factor)
        self._finite = self.gradient.abs().amax(1, keepdim=True).isfinite()
        self.gradient.masked_fill_(~self._finite, 0.0)
        self.finite_steps.add_(1.0).mul_(self._finite)
        grows = self.finite_steps >= self.INTERVAL
        self.finite_steps.masked_fill_(grows, 0.0)
        self.factor.mul_(torch.where(self._finite, torch.where(grows, self.GROWTH, 1.0), self.BACKOFF))
        for _, now, before in self._changing:
            before.copy_(now)

    def after_step(self) -> None:
        """Undo the steps of members whose gradient was not finite. They count as updates all the same."""
        for rows, now, before in self._changing:
            torch.where(self._finite[rows], now, before, out=now)
