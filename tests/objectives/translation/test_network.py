"""The full Transformer: what is shared, what pads, what is fused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from objectives.text.tokenizers import BOS, EOS, PAD
from objectives.transformer.hyperparameters import POSITIONS
from objectives.transformer.shape import LayerShape
from objectives.translation.network import Transformer
from tuner.training import CrossEntropy
from tuner.training.network import Autograd, Layout
from tuner.training.vmapped import Vmapped

SOURCE = torch.tensor([[5, 6, 7, EOS], [6, EOS, PAD, PAD]])
TOKENS = torch.tensor([[BOS, 7, 5], [BOS, 5, PAD]])


def network(**changes: Any) -> Transformer:
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "source_vocabulary": 9,
        "target_vocabulary": 9,
        "shape": LayerShape(width=8, heads=2, feed_forward=16, rotary=changes.get("positions") == "rotary"),
        "encoder_layers": 2,
        "decoder_layers": 1,
        "longest": 8,
    }
    return Transformer(**(settings | changes)).eval()


@pytest.mark.parametrize("positions", POSITIONS)
def test_padding_on_either_side_never_changes_what_is_said(positions: str) -> None:
    model = network(positions=positions)
    wider = model(nn.functional.pad(SOURCE, (0, 3)), nn.functional.pad(TOKENS, (0, 2)))
    assert wider.shape == (2, 5, 9)
    torch.testing.assert_close(wider[:, :3][TOKENS != PAD], model(SOURCE, TOKENS)[TOKENS != PAD], rtol=1e-5, atol=1e-6)
    alone = model(SOURCE[1:, :2], TOKENS[1:, :2])
    torch.testing.assert_close(alone[0], model(SOURCE, TOKENS)[1, :2], rtol=1e-5, atol=1e-6)


def test_a_token_is_foretold_from_those_before_it_alone() -> None:
    model, other = network(), TOKENS.clone()
    other[0, 2] = 8
    torch.testing.assert_close(model(SOURCE, other)[0, :2], model(SOURCE, TOKENS)[0, :2])


@pytest.mark.parametrize(
    ("shared", "tied", "tables"), [(False, False, 3), (False, True, 2), (True, False, 2), (True, True, 1)]
)
def test_sharing_and_tying_leave_fewer_tables(shared: bool, tied: bool, tables: int) -> None:
    model = network(shared=shared, tied=tied)
    assert sum(parameter.shape == (9, 8) for parameter in model.parameters()) == tables
    assert model(SOURCE, TOKENS).shape == (2, 3, 9)


def test_unlike_vocabularies_cannot_be_shared() -> None:
    with pytest.raises(ValueError, match="vocabularies of 9 and 10 tokens"):
        network(shared=True, target_vocabulary=10)


@pytest.mark.parametrize("shared", [False, True])
def test_every_parameter_is_in_one_layer_the_source_first_and_the_head_last(shared: bool) -> None:
    model = network(shared=shared, tied=False)
    layers = model.layers()
    names = [name for layer in layers for name in layer]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    assert layers[0] == ["source.tokens.weight"]
    assert len(layers) == 6
    assert layers[-1][-2:] == ["output.weight", "output.bias"]


@pytest.mark.parametrize(("shared", "tied"), [(False, False), (True, True)])
def test_fused_networks_learn_what_each_learns_alone(shared: bool, tied: bool) -> None:
    """Alone they do not read the columns that are padding in every text; fused they do."""
    modules = [network(shared=shared, tied=tied).double() for _ in range(3)]
    layout = Layout.of(modules[0])
    weights = torch.stack([layout.read(module) for module in modules])
    weights += 0.1 * torch.randn_like(weights)
    inputs = tuple(nn.functional.pad(x, (0, 3)).expand(3, -1, -1) for x in (SOURCE, TOKENS))
    following = torch.tensor([[7, 5, EOS], [5, EOS, -100]])
    targets = nn.functional.pad(following, (0, 3), value=-100).expand(3, -1, -1)
    found = []
    for kind in (Autograd, Vmapped):
        gradient = torch.zeros_like(weights)
        fused = kind(modules, CrossEntropy(ignore_index=-100), layout, weights.clone(), gradient)
        with fused.epoch([0, 1, 2]):
            found.append((fused.forward_backward(inputs, targets), gradient))
    for one, same in zip(*found, strict=True):
        torch.testing.assert_close(one, same, rtol=1e-8, atol=1e-10)
