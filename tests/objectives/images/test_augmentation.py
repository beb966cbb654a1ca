"""Images changed by chance: within what was asked for, in training only, the same for the same seed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from objectives.images.augmentation import Augmentation
from objectives.images.network import ConvolutionalNetwork


def images(count: int = 64, side: int = 9) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def square(side: int = 21, *, at: tuple[int, int] = (10, 10)) -> Tensor:
    """One image, dark but for three by three pixels."""
    image = torch.zeros(1, 1, side, side)
    image[:, :, at[0] - 1 : at[0] + 2, at[1] - 1 : at[1] + 2] = 1
    return image


def centre(image: Tensor) -> tuple[float, float]:
    """Where the light of an image is, in pixels from its top left."""
    weights = image[0, 0] / image[0, 0].sum()
    places = torch.arange(image.shape[-1], dtype=torch.float32)
    return float((weights.sum(1) * places).sum()), float((weights.sum(0) * places).sum())


def test_half_of_the_images_are_mirrored() -> None:
    torch.manual_seed(0)
    before = images()
    after = Augmentation(flip=True)(before)
    mirrored = [torch.equal(one, other.flip(-1)) for one, other in zip(after, before, strict=True)]
    same = [torch.equal(one, other) for one, other in zip(after, before, strict=True)]
    assert all(one != other for one, other in zip(mirrored, same, strict=True))
    assert 20 < sum(mirrored) < 44


def test_images_move_no_further_than_asked_and_both_ways() -> None:
    torch.manual_seed(0)
    moved = Augmentation(shift=0.2)(square().expand(200, -1, -1, -1))
    places = torch.tensor([centre(image[None]) for image in moved]) - 10
    assert float(places.abs().max()) <= 0.2 * 21 + 1e-3
    assert float(places.min()) < -3 < 3 < float(places.max())


def test_images_turn_no_further_than_asked_whatever_their_shape() -> None:
    torch.manual_seed(0)
    tall = torch.zeros(200, 1, 41, 21)
    tall[:, :, 4:7, 9:12] = 1  # 15 above the middle
    turned = Augmentation(rotation=20)(tall)
    rows, columns = torch.arange(41.0) - 20, torch.arange(21.0) - 10
    light = turned[:, 0] / turned[:, 0].sum((1, 2), keepdim=True)
    down, across = (light.sum(2) * rows).sum(1), (light.sum(1) * columns).sum(1)
    degrees = torch.rad2deg(torch.atan2(across, -down))
    assert 15 < float(degrees.abs().max()) <= 20.5
    torch.testing.assert_close((down**2 + across**2).sqrt(), torch.full((200,), 15.0), atol=0.4, rtol=0)


def test_images_grow_and_shrink_about_their_middle() -> None:
    torch.manual_seed(0)
    lit = Augmentation(zoom=0.5)(square().expand(200, -1, -1, -1)).sum((1, 2, 3))
    assert float(lit.min()) < 9 / 1.4**2 < 9 / 0.6**2 < float(lit.max())


@pytest.mark.parametrize("settings", [{"brightness": 0.5}, {"contrast": 0.5}])
def test_light_changes_by_no_more_than_asked(settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    before = images().abs() + 1
    after = Augmentation(**settings)(before)
    change = after - before if "brightness" in settings else after / before - 1
    each = change.flatten(1)
    torch.testing.assert_close(each, each[:, :1].expand_as(each), atol=1e-4, rtol=1e-4)
    assert 0.4 < float(each.abs().max()) <= 0.5 + 1e-4


def test_the_same_seed_gives_the_same_changes_and_another_one_others() -> None:
    change = Augmentation(flip=True, shift=0.1, rotation=10, zoom=0.1, brightness=0.1, contrast=0.1)
    seen = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        seen.append(change(images()))
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])


def test_what_only_predicts_changes_nothing() -> None:
    network = ConvolutionalNetwork(
        shape=(3, 9, 9),
        outputs=2,
        means=[0] * 3,
        deviations=[1] * 3,
        depth=1,
        width=4,
        augmentation=Augmentation(flip=True),
    )
    assert not torch.equal(network(images()), network(images()))
    network.eval()
    assert torch.equal(network(images()), network(images()))
