"""How deep the parameters of an encoder lie. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def by_depth(names: Iterable[str]) -> Sequence[Sequence[str]]:
    """Return parameter names layer by layer: the embedding, each layer of the encoder, and all the rest as the head.

    The normalisation after the encoder's last layer belongs to that layer.

    >>> by_depth(["head.weight", "embedding.tokens.weight", "encoder.layers.0.widen.weight", "encoder.norm.weight"])
    [['embedding.tokens.weight'], ['encoder.layers.0.widen.weight', 'encoder.norm.weight'], ['head.weight']]
    """
    layers: dict[int, list[str]] = {}
    last = 0
    norm, head = [], []
    for name in names:
        parts = name.split(".")
        if parts[0] == "embedding":
            layers.setdefault(0, []).append(name)
        elif parts[:2] == ["encoder", "layers"]:
            last = max(last, 1 + int(parts[2]))
            layers.setdefault(1 + int(parts[2]), []).append(name)
        elif parts[0] == "encoder":
            norm.append(name)
        else:
            head.append(name)
    layers.setdefault(last, []).extend(norm)
    in_order = [layers[depth] for depth in sorted(layers)]
    return [*in_order, head] if head else in_order
