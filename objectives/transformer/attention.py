"""Multi-head attention: of a sequence to itself, or to another one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from objectives.transformer.positions import rotated

KeysValues = tuple[Tensor, Tensor]
"""What queries are compared with, and what they find there: each ``[B, heads, S, W / heads]``."""


class MultiHeadAttention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2).

    ``head_i = softmax(Q_i K_i^T / sqrt(W / heads)) V_i``; the heads, side by side, pass a linear layer. The result for
    a query that may look at no key is that of a value of zeros: no NaN. No weight is dropped: the paper drops what
    sublayers give and tokens are embedded as (section 5.4), and on the CPU no quick kernel can do more. With ``rotary``
    queries and keys are turned by their positions (see ``positions.rotated``): for self-attention only.

    Shape:
        queries ``[B, T, W]``, keys ``[B, S, W]``, present ``[B, S]`` → ``[B, T, W]``.
    """

    def __init__(self, width: int, heads: int, *, rotary: bool = False) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"the width must be a multiple of the heads, got width {width} and {heads} heads")
        self.heads = heads
        self.rotary = rotary
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        for layer in (self.query, self.key_value, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, queries: Tensor, keys: Tensor, present: Tensor | None = None, *, causal: bool = False) -> Tensor:
        """Attend from ``queries`` to ``keys``; ``causal`` hides from query t the keys after t."""
        mask = visible(present, queries.shape[-2], causal=causal)
        return self.attend(queries, self.keys_values(keys), mask, causal=causal and present is None)

    def keys_values(self, keys: Tensor, place: int = 0) -> KeysValues:
        """Return what ``attend`` needs of keys ``[B, S, W]``, the first of which has this place in its sequence."""
        key, value = (self._split(projected) for projected in self.key_value(keys).chunk(2, -1))
        return (rotated(key, place) if self.rotary else key), value

    def attend(
        self,
        queries: Tensor,
        keys_values: KeysValues,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
        place: int = 0,
    ) -> Tensor:
        """Attend from queries ``[B, T, W]``, the first of which has this place, as ``visible`` lets them."""
        query = self._split(self.query(queries))
        if self.rotary:
            query = rotated(query, place)
        attended = scaled_dot_product_attention(query, *keys_values, attn_mask=mask, is_causal=causal)
        merged: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return merged

    def _split(self, projected: Tensor) -> Tensor:
        """Give each head its share: ``[B, T, W]`` → ``[B, heads, T, W / heads]``."""
        return projected.view(*projected.shape[:-1], self.heads, projected.shape[-1] // self.heads).transpose(1, 2)


def visible(present: Tensor | None, queries: int, *, causal: bool) -> Tensor | None:
    """Return which keys each query may look at: ``[B, 1, 1 or T, S]``, ``True`` where it may; ``None`` without padding.

    Without padding, ``scaled_dot_product_attention`` makes the causal mask itself.
    """
    if present is None:
        return None
    mask = present[:, None, None, :]
    if not causal:
        return mask
    past = torch.ones(queries, present.shape[-1], dtype=torch.bool, device=present.device).tril()
    return mask & past
