"""Encoder and decoder agree with torch.nn's own layers, and padding, order and the future change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from objectives.transformer.attention import MultiHeadAttention
from objectives.transformer.decoder import Decoder, DecoderLayer
from objectives.transformer.embedding import TokenEmbedding
from objectives.transformer.encoder import Encoder, EncoderLayer
from objectives.transformer.hyperparameters import LAYERS, POSITIONS, layer_shape
from objectives.transformer.layers import FeedForward
from objectives.transformer.shape import LayerShape
from tuner.training.losses import MeanSquaredError
from tuner.training.network import Autograd, Layout
from tuner.training.vmapped import Vmapped

SHAPE = LayerShape(width=8, heads=2, feed_forward=20)
PRESENT = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
MEMORY_PRESENT = torch.tensor([[True] * 4 + [False] * 2, [True] * 6])


def randomised(module: nn.Module) -> Any:
    """Let no bias be 0 and no norm 1: equal results then speak of every parameter."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) / 3)
    return module


def copy_attention(own: MultiHeadAttention, other: nn.MultiheadAttention) -> None:
    with torch.no_grad():
        other.in_proj_weight.copy_(torch.cat([own.query.weight, own.key_value.weight]))
        other.in_proj_bias.copy_(torch.cat([own.query.bias, own.key_value.bias]))
    other.out_proj.load_state_dict(own.output.state_dict())


def copy_rest(
    norms: Sequence[tuple[nn.LayerNorm, nn.LayerNorm]], own: FeedForward, other: tuple[nn.Linear, nn.Linear]
) -> None:
    for ours, theirs in (*norms, (own.widen, other[0]), (own.narrow, other[1])):
        theirs.load_state_dict(ours.state_dict())


def torch_encoder_layer(own: EncoderLayer) -> nn.TransformerEncoderLayer:
    other = nn.TransformerEncoderLayer(
        SHAPE.width, SHAPE.heads, SHAPE.feed_forward, dropout=0, batch_first=True, norm_first=True
    )
    copy_attention(own.attention, other.self_attn)
    norms = [(own.attention_norm, other.norm1), (own.feed_forward_norm, other.norm2)]
    copy_rest(norms, own.feed_forward, (other.linear1, other.linear2))
    return other


def torch_decoder_layer(own: DecoderLayer) -> nn.TransformerDecoderLayer:
    other = nn.TransformerDecoderLayer(
        SHAPE.width, SHAPE.heads, SHAPE.feed_forward, dropout=0, batch_first=True, norm_first=True
    )
    copy_attention(own.self_attention, other.self_attn)
    copy_attention(own.cross_attention, other.multihead_attn)
    norms = [(own.self_norm, other.norm1), (own.cross_norm, other.norm2), (own.feed_forward_norm, other.norm3)]
    copy_rest(norms, own.feed_forward, (other.linear1, other.linear2))
    return other


@pytest.mark.parametrize("causal", [False, True])
def test_an_encoder_layer_is_torchs(causal: bool) -> None:
    own = randomised(EncoderLayer(SHAPE))
    tokens = torch.randn(2, 5, 8, requires_grad=True)
    future = torch.ones(5, 5, dtype=torch.bool).triu(1) if causal else None
    expected = torch_encoder_layer(own)(tokens, src_mask=future, src_key_padding_mask=~PRESENT)
    outputs = own(tokens, PRESENT, causal=causal)
    torch.testing.assert_close(outputs[PRESENT], expected[PRESENT], rtol=1e-5, atol=1e-5)
    slopes = [torch.autograd.grad(one[PRESENT].square().sum(), tokens)[0] for one in (outputs, expected)]
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-5)


def test_a_decoder_layer_is_torchs() -> None:
    own = randomised(DecoderLayer(SHAPE))
    tokens, memory = torch.randn(2, 5, 8, requires_grad=True), torch.randn(2, 6, 8, requires_grad=True)
    expected = torch_decoder_layer(own)(
        tokens,
        memory,
        tgt_mask=torch.ones(5, 5, dtype=torch.bool).triu(1),
        tgt_key_padding_mask=~PRESENT,
        memory_key_padding_mask=~MEMORY_PRESENT,
    )
    outputs = own(tokens, memory, PRESENT, MEMORY_PRESENT)
    torch.testing.assert_close(outputs[PRESENT], expected[PRESENT], rtol=1e-5, atol=1e-5)
    for one in (tokens, memory):
        slopes = [
            torch.autograd.grad(o[PRESENT].square().sum(), one, retain_graph=True)[0] for o in (outputs, expected)
        ]
        torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-5)


def test_layers_are_stacked_and_the_last_is_normalised() -> None:
    encoder = randomised(Encoder(2, SHAPE))
    tokens = torch.randn(2, 5, 8)
    expected = encoder.norm(encoder.layers[1](encoder.layers[0](tokens, PRESENT), PRESENT))
    torch.testing.assert_close(encoder(tokens, PRESENT), expected)


class Reader(nn.Module):
    """Token numbers in, encoder and decoder outputs for them out: a whole Transformer without its head."""

    def __init__(self, positions: str = "sinusoidal", dropout: float = 0.0) -> None:
        super().__init__()
        shape = LayerShape(width=8, heads=2, feed_forward=16, rotary=positions == "rotary", dropout=dropout)
        self.embedding = TokenEmbedding(11, 8, positions=positions, longest=12, dropout=dropout)
        self.encoder = Encoder(2, shape)
        self.decoder = Decoder(2, shape)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Return ``[B, T, W]``; 0 is padding."""
        present = source != 0
        memory = self.encoder(self.embedding(source), present)
        outputs: Tensor = self.decoder(self.embedding(target), memory, target != 0, present)
        return outputs


SOURCE = torch.tensor([[3, 4, 5, 6], [7, 2, 0, 0], [0, 0, 0, 0]])
TARGET = torch.tensor([[1, 2, 3], [4, 5, 0], [6, 0, 0]])


@pytest.mark.parametrize("positions", POSITIONS)
def test_padding_never_changes_a_prediction(positions: str) -> None:
    reader = randomised(Reader(positions)).eval()
    outputs = reader(SOURCE, TARGET)
    wider = reader(nn.functional.pad(SOURCE, (0, 5)), nn.functional.pad(TARGET, (0, 3)))
    assert outputs.isfinite().all()
    torch.testing.assert_close(wider[:, :3][TARGET != 0], outputs[TARGET != 0], rtol=1e-5, atol=1e-6)
    alone = reader(SOURCE[1:2, :2], TARGET[1:2, :2])
    torch.testing.assert_close(alone[0], outputs[1, :2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("positions", POSITIONS)
def test_the_order_of_a_batch_never_changes_a_result(positions: str) -> None:
    reader = randomised(Reader(positions)).eval()
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(reader(SOURCE[order], TARGET[order]), reader(SOURCE, TARGET)[order])


@pytest.mark.parametrize("positions", POSITIONS)
def test_a_target_token_never_sees_a_later_one(positions: str) -> None:
    reader = randomised(Reader(positions)).eval()
    other = TARGET.clone()
    other[0, 2] = 9
    torch.testing.assert_close(reader(SOURCE, other)[0, :2], reader(SOURCE, TARGET)[0, :2])
    assert not torch.allclose(reader(SOURCE, other)[0, 2], reader(SOURCE, TARGET)[0, 2])


@pytest.mark.parametrize("positions", POSITIONS)
def test_positions_tell_the_order_of_the_tokens(positions: str) -> None:
    reader = randomised(Reader(positions)).eval()
    same = torch.allclose(reader(SOURCE[:1].flip(1), TARGET[:1]), reader(SOURCE[:1], TARGET[:1]), atol=1e-5)
    assert same == (positions == "none")


@pytest.mark.parametrize("positions", POSITIONS)
def test_members_that_are_fused_learn_what_each_learns_alone(positions: str) -> None:
    modules = [randomised(Reader(positions)).double() for _ in range(3)]
    for seed, module in enumerate(modules):
        torch.manual_seed(seed)
        nn.init.normal_(module.embedding.weight)
    layout = Layout.of(modules[0])
    weights = torch.stack([layout.read(module) for module in modules])
    inputs = tuple(x.expand(3, *x.shape) for x in (SOURCE, TARGET))
    targets = torch.randn(3, *TARGET.shape, 8, dtype=torch.float64)
    found = []
    for kind in (Autograd, Vmapped):
        gradient = torch.zeros_like(weights)
        network = kind(deepcopy(modules), MeanSquaredError(), layout, weights.clone(), gradient)
        with network.epoch([0, 1, 2]):
            loss = network.forward_backward(inputs, targets)
        found.append((loss, gradient, network.predict((SOURCE, TARGET))))
    for one, same in zip(*found, strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, same, rtol=1e-8, atol=1e-10)


def test_dropout_acts_in_training_only() -> None:
    reader = Reader(dropout=0.3)
    assert not torch.equal(reader(SOURCE, TARGET), reader(SOURCE, TARGET))
    reader.eval()
    assert torch.equal(reader(SOURCE, TARGET), reader(SOURCE, TARGET))


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("positions", POSITIONS)
def test_every_combination_of_the_space_is_a_network(heads: int, positions: str) -> None:
    known = {hyper.name for hyper in LAYERS}
    params = {"heads": heads, "head_width": 5, "feed_forward": 2, "activation": "silu", "dropout": 0.1}
    shape = layer_shape(params | {"positions": positions})
    assert params.keys() | {"positions"} == known
    assert (shape.width, shape.feed_forward, shape.rotary) == (5 * heads, 10 * heads, positions == "rotary")
    assert Encoder(1, shape)(torch.randn(1, 3, shape.width)).isfinite().all()
