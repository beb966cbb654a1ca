"""Warm start: a network begins with weights that were learned before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from tuner.errors import DataError, UsageError
from tuner.models import naming

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tuner.spec import ModelSection

MOST_NAMED = 4
"""So many parameters are named in a message; the others are counted."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How weights fit a network, by the names of its parameters and buffers."""

    taken: Sequence[str]
    new: Sequence[str]
    """Those of the network that the weights do not hold."""
    unused: Sequence[str]
    """Those that the network has not."""
    other_shape: Mapping[str, tuple[Sequence[int], Sequence[int]]]
    """Name → shape in the weights and in the network."""

    @property
    def whole(self) -> bool:
        """Whether nothing is left over on either side."""
        return not (self.new or self.unused or self.other_shape)

    def said(self) -> str:
        """Return what does not fit, for a person."""
        shapes = [f"{name} ({_size(a)} there, {_size(b)} here)" for name, (a, b) in self.other_shape.items()]
        parts = (("missing", self.new), ("of another shape", shapes), ("not in the network", self.unused))
        return "; ".join(f"{what}: {_listed(names)}" for what, names in parts if names)

    def to_json(self) -> dict[str, Any]:
        """Return what is noted with a trial."""
        return {
            "taken": len(self.taken),
            "new": [*self.new, *self.other_shape],
            "unused": list(self.unused),
        }


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """Weights that networks begin with."""

    where: str
    weights: Mapping[str, Tensor]
    strict: bool = True
    """Whether the weights must fit the whole network."""

    @staticmethod
    def of(section: ModelSection) -> WarmStart | None:
        """Return what a spec asks for, its places written out (:func:`tuner.models.located`).

        Raises:
            DataError: when the file cannot be read.
            StudyConflictError: when it has changed since the study was created.
        """
        if not section.start_from:
            return None
        where = naming.shown(section.start_from)
        content, _ = naming.read_weights(section.start_from)
        return WarmStart(where=where, weights=parsed(content, where), strict=section.strict)

    def fit(self, module: nn.Module) -> Fit:
        """Return how the weights fit the network."""
        state = _state(module)
        taken = [name for name, tensor in state.items() if self._held(name, tensor)]
        shapes = {
            name: (tuple(self.weights[name].shape), tuple(tensor.shape))
            for name, tensor in state.items()
            if name in self.weights and self.weights[name].shape != tensor.shape
        }
        have = {id(state[name]) for name in taken}
        return Fit(
            taken=taken,
            new=[name for name in _names(state) if id(state[name]) not in have and name not in shapes],
            unused=[name for name in self.weights if name not in state],
            other_shape=shapes,
        )

    def apply(self, module: nn.Module) -> None:
        """Give the network the weights that fit it, in place.

        Raises:
            UsageError: when they do not fit the whole network but must, or nothing of them fits.
        """
        fit = self.fit(module)
        if self.strict and not fit.whole:
            raise UsageError(
                f"the weights '{self.where}' do not fit the network: {fit.said()} "
                "([model] strict = false takes what fits)"
            )
        if not fit.taken:
            raise UsageError(f"nothing of the weights '{self.where}' fits the network: {fit.said()}")
        state = _state(module)
        with torch.no_grad():
            for name in fit.taken:
                state[name].copy_(self.weights[name])

    def _held(self, name: str, tensor: Tensor) -> bool:
        return name in self.weights and self.weights[name].shape == tensor.shape


def parsed(content: bytes, where: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file by name.

    Raises:
        DataError: when it is none.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise DataError(f"the weights '{where}' are no safetensors file: {error}") from None
    if not tensors:
        raise DataError(f"the weights '{where}' hold no tensor")
    return tensors


def saved(module: nn.Module) -> bytes:
    """Return the network's parameters and buffers as a safetensors file, a shared one under the first of its names."""
    from safetensors.torch import save

    state = _state(module)
    return save({name: state[name].detach().cpu().contiguous() for name in _names(state)})


def _state(module: nn.Module) -> dict[str, Tensor]:
    """Return what the network has learned: its parameters and buffers themselves, by every name that they have."""
    state: dict[str, Tensor] = module.state_dict(keep_vars=True)
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


def _names(state: Mapping[str, Tensor]) -> list[str]:
    """Return one name of each tensor: a shared one has several."""
    return list({id(state[name]): name for name in reversed(list(state))}.values())[::-1]


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _size(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "one number"
