"""Dropout silences its share, keeps the mean, and passes gradients as it passed values, however its mask is drawn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from objectives.transformer.layers import Dropout

VALUES = 400_001
"""So many that shares are known to three digits; not a multiple of what is drawn at once."""


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def dropped(share: float, values: Tensor) -> Tensor:
    outputs: Tensor = Dropout(share)(values)
    return outputs


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.99])
def test_its_share_is_silent_and_the_mean_stays(share: float) -> None:
    outputs = dropped(share, torch.ones(VALUES))
    deviation = (share * (1 - share) / VALUES) ** 0.5  # of the share that is seen
    assert (outputs == 0).double().mean() == pytest.approx(share, abs=4 * deviation)
    assert outputs.double().mean() == pytest.approx(1, abs=4 * deviation / (1 - share))
    assert outputs.max() == pytest.approx(1 / (1 - share), rel=2**-16 / (1 - share))


def test_values_beside_each_other_are_silent_by_themselves() -> None:
    silent = (dropped(0.3, torch.ones(VALUES)) == 0).double()
    for distance in (1, 2, 3, 4):
        assert (silent[distance:] * silent[:-distance]).mean() == pytest.approx(0.09, abs=0.003)


def test_the_seed_decides_what_is_silent() -> None:
    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return dropped(0.5, torch.ones(3, 5, 7))

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    torch.manual_seed(1)
    assert not torch.equal(dropped(0.5, torch.ones(100)), dropped(0.5, torch.ones(100)))


def test_gradients_are_silent_where_values_are() -> None:
    values = torch.randn(6, 10, dtype=torch.float64, requires_grad=True)
    outputs = dropped(0.4, values)
    slopes = torch.randn_like(values)
    (found,) = torch.autograd.grad(outputs, values, slopes)
    torch.testing.assert_close(found, slopes * (outputs != 0) / 0.6, rtol=1e-4, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_numbers_stay_what_they_are(dtype: torch.dtype) -> None:
    outputs = dropped(0.2, torch.full((50, 20), 8, dtype=dtype))
    assert outputs.dtype == dtype
    assert sorted(set(outputs.flatten().tolist())) == pytest.approx([0, 10], rel=1e-2)
    with torch.autocast("cpu", torch.bfloat16):
        assert dropped(0.2, nn.Linear(4, 4)(torch.ones(2, 4))).dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 0, 3), (2, 3)])
def test_any_shape_will_do(shape: tuple[int, ...]) -> None:
    assert dropped(0.5, torch.ones(shape)).shape == shape


def test_values_need_not_lie_in_order() -> None:
    values = torch.arange(1.0, 13.0).view(3, 4).t()
    outputs = dropped(0.5, values)
    torch.testing.assert_close(outputs[outputs != 0], 2 * values[outputs != 0])


def test_without_a_share_or_outside_training_nothing_is_drawn() -> None:
    values, state = torch.randn(20), torch.get_rng_state()
    assert dropped(0.0, values) is values
    assert Dropout(0.5).eval()(values) is values
    assert torch.equal(torch.get_rng_state(), state)


def test_fused_members_refuse_it_as_any_chance() -> None:
    with pytest.raises(RuntimeError, match="random operation"):
        torch.vmap(Dropout(0.5), randomness="error")(torch.ones(3, 4))
    assert torch.equal(torch.vmap(Dropout(0.0), randomness="error")(torch.ones(3, 4)), torch.ones(3, 4))
