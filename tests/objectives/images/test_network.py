"""The convolutional network: its shapes, what it does to pixels, and that a cohort learns as its members do alone."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from objectives.images.augmentation import Augmentation
from objectives.images.hyperparameters import NETWORK, augmentation
from objectives.images.network import ConvolutionalNetwork, Standardise
from tests.tuner.training.making import assert_same, member, train
from tuner.training import Dataset, Member, Part, predict, vmapped
from tuner.training.activations import ACTIVATIONS
from tuner.training.fusion import Fusion
from tuner.training.layers import in_order
from tuner.training.network import Layout

CHOICES = {hyper.name: hyper.choices or () for hyper in NETWORK}


def network(shape: tuple[int, int, int] = (3, 8, 8), **settings: Any) -> ConvolutionalNetwork:
    channels = shape[0]
    wanted: dict[str, Any] = {"outputs": 2, "means": [100.0] * channels, "deviations": [50.0] * channels}
    return ConvolutionalNetwork(shape=shape, **(wanted | {"depth": 2, "width": 4} | settings))


def pixels(count: int = 6, shape: tuple[int, int, int] = (3, 8, 8), seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (count, *shape), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def test_whole_pixels_are_standardised_as_numbers_are() -> None:
    standardise = Standardise([10.0, 20.0, 30.0], [2.0, 4.0, 8.0])
    seen = standardise(pixels())
    assert seen.dtype == torch.float32
    torch.testing.assert_close(seen, standardise(pixels().float()))
    torch.testing.assert_close(seen[:, 1], (pixels()[:, 1].float() - 20) / 4)


@pytest.mark.parametrize(
    ("normalization", "pooling", "head"), list(product(*(CHOICES[n] for n in ("normalization", "pooling", "head"))))
)
def test_every_choice_makes_a_network_that_learns(normalization: str, pooling: str, head: str) -> None:
    torch.manual_seed(0)
    made = network(normalization=normalization, pooling=pooling, head=head)
    outputs = made(pixels())
    assert outputs.shape == (6, 2)
    slopes = torch.autograd.grad(outputs.square().sum(), list(made.parameters()))
    assert all(slope.isfinite().all() and slope.abs().sum() > 0 for slope in slopes)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 40), (1, 2, 2), (3, 5, 7), (13, 4, 4)])
@pytest.mark.parametrize("pooling", CHOICES["pooling"])
def test_no_image_is_too_small_for_a_deep_network(shape: tuple[int, int, int], pooling: str) -> None:
    made = network(shape, depth=6, pooling=pooling, head="flatten", kernel=5, normalization="batch")
    assert made(pixels(4, shape)).isfinite().all()


def test_sides_are_halved_while_the_shorter_one_is_four_or_more() -> None:
    sides = [block.sides for block in network((1, 20, 9), depth=4).blocks if hasattr(block, "sides")]
    assert sides == [(10, 4), (5, 2), (5, 2), (5, 2)]
    strided = [
        block.sides for block in network((1, 20, 9), depth=4, pooling="stride").blocks if hasattr(block, "sides")
    ]
    assert strided == [(10, 5), (5, 3), (5, 3), (5, 3)]


def test_depth_zero_is_a_linear_model_of_the_pixels() -> None:
    made = network(depth=0, head="flatten")
    assert [list(parameter.shape) for parameter in made.parameters()] == [[2, 3 * 8 * 8], [2]]


def test_channels_grow_from_block_to_block_up_to_a_limit() -> None:
    made = network((3, 4, 4), depth=4, width=100, growth=2.0)
    assert [m.out_channels for m in made.modules() if isinstance(m, nn.Conv2d)] == [100, 200, 400, 512]


def test_convolutions_are_penalised_and_norms_are_not() -> None:
    layout = Layout.of(network(normalization="batch"))
    assert layout.weights == 4 * 3 * 9 + 8 * 4 * 9 + 2 * 8


def test_layers_go_from_the_pixels_to_the_head() -> None:
    layers = in_order(network(normalization="group"))
    assert [layer[0] for layer in layers] == [
        "blocks.0.convolution.weight",
        "blocks.1.convolution.weight",
        "head.weight",
    ]


def test_many_large_images_are_predicted_in_parts_that_fit_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("objectives.images.network.PREDICTED_BYTES", 4 * 4 * 64 * 5)
    made, images = network(normalization="batch").eval(), pixels(23)
    sizes: list[int] = []
    made.blocks[0].register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    outputs = predict(made, (images,))
    assert max(sizes) == 5
    torch.testing.assert_close(outputs, torch.cat([predict(made, (image[None],)) for image in images]))


def test_the_space_names_only_what_the_network_knows() -> None:
    assert CHOICES["activation"] == tuple(ACTIVATIONS)
    names = [hyper.name for hyper in (*NETWORK, *augmentation(photos=True))]
    assert len(set(names)) == len(names)


@pytest.fixture
def images() -> Dataset:
    inputs = pixels(60)
    targets = torch.arange(60) % 2
    inputs[targets == 1, :, ::2] //= 3
    training = Part(inputs=(inputs[:40],), targets=targets[:40])
    return Dataset(training=training, validation=Part(inputs=(inputs[40:],), targets=targets[40:]))


@pytest.mark.parametrize(
    "settings",
    [
        {"normalization": "batch", "pooling": "max"},
        {"normalization": "group", "pooling": "average", "head": "flatten", "activation": "gelu"},
        {"normalization": "layer", "pooling": "stride", "head": "max"},
    ],
    ids=["batch", "group", "layer"],
)
def test_a_cohort_gives_the_same_curves_as_its_members_alone(
    settings: dict[str, Any], images: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = vmapped._tried
    clock = iter(range(100))

    def by_numbers(*tried_with: Any, **options: Any) -> tuple[list[Tensor], float]:
        return tried(*tried_with, **options)[0], -float(next(clock))  # on a busy machine the clock decides by chance

    monkeypatch.setattr(vmapped, "_tried", by_numbers)

    def members() -> list[Member]:
        return [member(number, network=lambda: network(**settings).double(), epochs=2, l2=1e-3) for number in range(3)]

    together = members()
    assert [len(group) for group in Fusion(images, torch.device("cpu")).groups(together)] == [3]
    curves = train(together, images)
    for one, same in zip(together, members(), strict=True):
        assert_same(one, curves[one.number], same, train([same], images)[same.number])


def test_augmented_members_learn_in_a_cohort_as_alone(images: Dataset) -> None:
    def members() -> list[Member]:
        changed: dict[str, Any] = {"augmentation": Augmentation(flip=True, shift=0.2), "dropout": 0.2}
        return [member(number, network=lambda: network(**changed).double(), epochs=2) for number in range(2)]

    together = members()
    curves = train(together, images)
    for one, same in zip(together, members(), strict=True):
        assert_same(one, curves[one.number], same, train([same], images)[same.number])
