"""The depth of each parameter: lower layers can be frozen, or learn more slowly than the head.

Layers are lists of parameter names, from the input to the head. The learning rate of a layer is that of the recipe
times ``layer_decay ** distance``, counted from the head, whose distance is 0: discriminative fine-tuning (Howard and
Ruder 2018, where the factor is 1 / 2.6).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from tuner.training.network import Layout
from tuner.training.recipe import Recipe, RecipeError

Layers = Sequence[Sequence[str]]
LayersOf = Callable[[nn.Module], Layers]


def in_order(module: nn.Module) -> list[list[str]]:
    """Return the layers of a module whose parts are defined in the order in which they are applied.

    ``Sequential`` and lists of modules are taken apart. Parameters of a module that holds layers are of its first one.

    >>> in_order(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)))
    [['0.weight', '0.bias'], ['2.weight', '2.bias']]
    """
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    layers: list[list[str]] = []
    for part in _parts(module):
        layer = [names.pop(id(parameter)) for parameter in part if id(parameter) in names]  # a shared one counts once
        if layer:
            layers.append(layer)
    return layers


def _parts(module: nn.Module) -> list[list[nn.Parameter]]:
    """Return the parameters of each of the module's parts."""
    parts: list[list[nn.Parameter]] = []
    inner = [child for child in module.children() if any(True for _ in child.parameters())]
    for child in inner:
        taken_apart = len(inner) == 1 or isinstance(child, nn.Sequential | nn.ModuleList | nn.ModuleDict)
        parts += _parts(child) if taken_apart else [list(child.parameters())]
    own = list(module.parameters(recurse=False))
    if own:
        parts[:1] = [[*own, *(parts[0] if parts else [])]]
    return parts


def freeze(module: nn.Module, recipe: Recipe, layers_of: LayersOf) -> None:
    """Freeze the ``recipe.frozen`` lowest layers; the head always learns.

    Raises:
        RecipeError: see :func:`learning_rate_scales`.
    """
    if not recipe.frozen:
        return
    layers = _checked(module, layers_of(module))
    frozen = {name for layer in layers[: min(recipe.frozen, len(layers) - 1)] for name in layer}
    for name, parameter in module.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)


def learning_rate_scales(module: nn.Module, layout: Layout, recipe: Recipe, layers_of: LayersOf) -> Tensor | None:
    """Return by what each number of the row ``[P]`` scales its learning rate; ``None`` if nothing is scaled.

    Raises:
        RecipeError: when the layers leave out a parameter of the module, or name one that it has not.
    """
    if recipe.layer_decay == 1.0:
        return None
    scales = torch.ones(layout.size, dtype=layout.dtype)
    views = layout.views(scales)
    for distance, layer in enumerate(reversed(_checked(module, layers_of(module)))):
        for name in layer:
            if name in views:  # it is not frozen
                views[name].fill_(recipe.layer_decay**distance)
    return scales


def _checked(module: nn.Module, layers: Layers) -> Layers:
    named = [name for layer in layers for name in layer]
    wanted = [name for name, _ in module.named_parameters()]
    if sorted(named) != sorted(wanted):
        odd = sorted(set(named) ^ set(wanted)) or sorted({name for name in named if named.count(name) > 1})
        raise RecipeError(
            f"the layers of {type(module).__name__} must name each of its parameters once; wrong are {', '.join(odd)}"
        )
    return layers
