"""Attention agrees with torch.nn's own, whatever is hidden from it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from objectives.transformer.attention import MultiHeadAttention

WIDTH, HEADS = 12, 3


def of_torch(own: MultiHeadAttention) -> nn.MultiheadAttention:
    """torch's attention with the weights of ours."""
    other = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    with torch.no_grad():
        other.in_proj_weight.copy_(torch.cat([own.query.weight, own.key_value.weight]))
        other.in_proj_bias.copy_(torch.cat([own.query.bias, own.key_value.bias]))
        other.out_proj.load_state_dict(own.output.state_dict())
    return other


@pytest.fixture
def attention() -> MultiHeadAttention:
    torch.manual_seed(0)
    own = MultiHeadAttention(WIDTH, HEADS)
    for layer in (own.query, own.key_value, own.output):
        nn.init.normal_(layer.bias)
    return own


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_self_attention_is_torchs(attention: MultiHeadAttention, causal: bool, padded: bool) -> None:
    tokens = torch.randn(2, 5, WIDTH)
    present = torch.tensor([[True] * 5, [True] * 3 + [False] * 2]) if padded else None
    expected, _ = of_torch(attention)(
        tokens,
        tokens,
        tokens,
        key_padding_mask=None if present is None else ~present,
        attn_mask=torch.ones(5, 5, dtype=torch.bool).triu(1) if causal else None,
        need_weights=False,
    )
    torch.testing.assert_close(attention(tokens, tokens, present, causal=causal), expected, rtol=1e-5, atol=1e-6)


def test_attention_to_another_sequence_is_torchs(attention: MultiHeadAttention) -> None:
    queries, keys = torch.randn(2, 4, WIDTH), torch.randn(2, 6, WIDTH)
    present = torch.tensor([[True] * 6, [True] + [False] * 5])
    expected, _ = of_torch(attention)(queries, keys, keys, key_padding_mask=~present, need_weights=False)
    torch.testing.assert_close(attention(queries, keys, present), expected, rtol=1e-5, atol=1e-6)


def test_attention_is_the_formula(attention: MultiHeadAttention) -> None:
    queries, keys = torch.randn(1, 4, WIDTH), torch.randn(1, 6, WIDTH)
    query = attention.query(queries)[0]
    key, value = attention.key_value(keys)[0].split(WIDTH, -1)
    size = WIDTH // HEADS
    heads = []
    for i in range(HEADS):
        mine = slice(i * size, (i + 1) * size)
        heads.append(torch.softmax(query[:, mine] @ key[:, mine].T / size**0.5, -1) @ value[:, mine])
    expected = attention.output(torch.cat(heads, -1))
    torch.testing.assert_close(attention(queries, keys)[0], expected, rtol=1e-5, atol=1e-6)


def test_a_causal_query_never_sees_the_future(attention: MultiHeadAttention) -> None:
    tokens = torch.randn(1, 6, WIDTH, requires_grad=True)
    for present in (None, torch.ones(1, 6, dtype=torch.bool)):
        (slope,) = torch.autograd.grad(attention(tokens, tokens, present, causal=True)[0, 2].sum(), tokens)
        assert slope[0, :3].abs().sum(-1).gt(0).all()
        assert not slope[0, 3:].any()


@pytest.mark.parametrize("causal", [False, True])
def test_a_sequence_of_padding_alone_gives_numbers_and_gradients(attention: MultiHeadAttention, causal: bool) -> None:
    tokens = torch.randn(2, 4, WIDTH, requires_grad=True)
    present = torch.tensor([[True] * 4, [False] * 4])
    outputs: Tensor = attention(tokens, tokens, present, causal=causal)
    (slope,) = torch.autograd.grad(outputs.square().sum(), tokens)
    assert slope.isfinite().all()
    torch.testing.assert_close(outputs[1], attention.output.bias.expand(4, -1))


def test_a_width_that_the_heads_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="got width 10 and 3 heads"):
        MultiHeadAttention(10, 3)
