"""The networks that read texts: padding and neighbours change nothing, and a cohort gives what each gives alone."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from objectives.text.networks import BagOfEmbeddings, TransformerEncoder, pooled
from objectives.text.tokenizers import BOS, PAD
from objectives.transformer.shape import LayerShape
from tuner.training import CrossEntropy, vmapped
from tuner.training.network import Layout

VOCABULARY = 30


def transformer(*, positions: str = "sinusoidal", pooling: str = "mean", seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    shape = LayerShape(width=8, heads=2, feed_forward=16, activation="gelu", rotary=positions == "rotary")
    network = TransformerEncoder(
        vocabulary=VOCABULARY, longest=20, layers=2, shape=shape, positions=positions, pooling=pooling, outputs=3
    )
    return network.double().eval()


def bag(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return BagOfEmbeddings(vocabulary=VOCABULARY, width=8, dropout=0.0, outputs=3).double().eval()


NETWORKS = {"bag": bag} | {
    f"{positions}-{pooling}": lambda seed=0, p=positions, q=pooling: transformer(positions=p, pooling=q, seed=seed)
    for positions, pooling in itertools.product(("sinusoidal", "learned", "rotary", "none"), ("mean", "cls", "max"))
}
networks = pytest.mark.parametrize("name", NETWORKS)


def texts(lengths: list[int], width: int, *, seed: int = 0) -> Tensor:
    """Token numbers ``[B, width]`` of texts of these lengths, padded at the end."""
    torch.manual_seed(seed)
    rows = torch.full((len(lengths), width), PAD)
    for row, length in zip(rows, lengths, strict=True):
        row[0] = BOS
        row[1:length] = torch.randint(5, VOCABULARY, (length - 1,))
    return rows


@networks
def test_padding_never_changes_a_prediction(name: str) -> None:
    network = NETWORKS[name]()
    short = texts([1, 3, 9], 9)
    padded = torch.cat([short, torch.full((3, 11), PAD)], 1)
    torch.testing.assert_close(network(padded), network(short))
    for row, length in zip(short, (1, 3, 9), strict=True):
        torch.testing.assert_close(network(row[:length].unsqueeze(0)), network(row.unsqueeze(0)))


@networks
def test_what_padding_is_embedded_as_changes_nothing(name: str) -> None:
    network = NETWORKS[name]()
    batch = texts([1, 3, 9], 9)
    before = network(batch)
    with torch.no_grad():
        next(p for n, p in network.named_parameters() if n.startswith("embedding"))[PAD] += 100
    torch.testing.assert_close(network(batch), before)


@networks
@pytest.mark.parametrize("count", [4, 150])
def test_the_order_of_a_batch_never_changes_a_result(name: str, count: int) -> None:
    network = NETWORKS[name]()
    batch = texts([1 + 5 * index % 9 for index in range(count)], 9)
    order = torch.randperm(count)
    torch.testing.assert_close(network(batch[order]), network(batch)[order])
    torch.testing.assert_close(network(batch[:1]), network(batch)[:1])


def test_a_bag_is_blind_to_the_order_of_words_and_a_transformer_is_not() -> None:
    batch = texts([9], 9)
    turned = torch.cat([batch[:, :1], batch[:, 1:].flip(1)], 1)
    torch.testing.assert_close(bag()(turned), bag()(batch))
    for positions in ("sinusoidal", "learned", "rotary"):
        network = transformer(positions=positions)
        assert not torch.allclose(network(turned), network(batch))
    torch.testing.assert_close(transformer(positions="none")(turned), transformer(positions="none")(batch))


def test_a_bag_is_a_linear_layer_on_the_mean_of_the_embeddings() -> None:
    network = bag()
    assert isinstance(network, BagOfEmbeddings)
    batch = texts([1, 5], 9)
    means = torch.stack([network.embedding.weight[row[row != PAD]].mean(0) for row in batch])
    torch.testing.assert_close(network(batch), network.head(means))


def test_pooling_is_that_of_each_text_by_itself() -> None:
    tokens = torch.randn(2, 4, 3)
    present = torch.tensor([[True, True, True, False], [True, False, False, False]])
    torch.testing.assert_close(pooled(tokens, present, "mean"), torch.stack([tokens[0, :3].mean(0), tokens[1, 0]]))
    torch.testing.assert_close(pooled(tokens, present, "max"), torch.stack([tokens[0, :3].amax(0), tokens[1, 0]]))
    torch.testing.assert_close(pooled(tokens, present, "cls"), tokens[:, 0])


@networks
def test_networks_learn_the_same_fused_as_alone(name: str) -> None:
    """Alone they do not read the columns that are padding in every text; fused they do."""
    modules = [NETWORKS[name](seed) for seed in range(3)]
    layout = Layout.of(modules[0])
    batch, classes = texts([1, 3, 9, 5], 14).to(torch.int32), torch.tensor([0, 1, 2, 1])
    weights = torch.stack([layout.read(module) for module in modules])
    gradient = torch.zeros_like(weights)
    fused = vmapped.Vmapped(modules, CrossEntropy(), layout, weights, gradient)
    with fused.epoch([0, 0, 0]):
        losses = fused.forward_backward((batch.expand(3, -1, -1),), classes.expand(3, -1))
    for index, module in enumerate(modules):
        loss = nn.functional.cross_entropy(module(batch), classes)
        alone = torch.autograd.grad(loss, [dict(module.named_parameters())[name] for name in layout.shapes])
        torch.testing.assert_close(losses[index], loss)
        torch.testing.assert_close(gradient[index], torch.cat([slope.flatten() for slope in alone]))
