from __future__ import annotations

import gc
import logging
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.tuner.training.making import assert_same, blobs, groups, member, train
from tuner.training import Cohort, CrossEntropy, Member, vmapped
from tuner.training.network import Layout
from tuner.training.vmapped import Vmapped, pays, structure


class Residual(nn.Module):
    """A skip connection, normalization over the batch, a frozen layer and a tied one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 6)
        self.norm = nn.BatchNorm1d(6)
        self.middle = nn.Linear(6, 6)
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.out = nn.Linear(6, 3)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x))
        x = x + torch.relu(self.middle(x)) + self.middle(self.frozen(x))
        output: Tensor = self.out(x)
        return output


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 4, 3), nn.GELU(), nn.Flatten(), nn.LayerNorm(12), nn.Linear(12, 3)
    ).double()


class Attentive(nn.Module):
    """A small transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(1, 8)
        self.attend = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.out = nn.Linear(8, 3)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.out(self.attend(self.embed(x.unsqueeze(-1))).mean(1))
        return output


class Loud(nn.Linear):
    """Noise that only the forward pass knows of."""

    def __init__(self) -> None:
        super().__init__(5, 3)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + torch.randn_like(x))


class Branching(nn.Linear):
    """What it does depends on its values."""

    def __init__(self) -> None:
        super().__init__(5, 3)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        output = super().forward(x)
        return output if output.detach().sum().item() > 0 else -output


@pytest.fixture
def fusing_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decide by the numbers alone: on a busy machine the clock decides this way or that."""
    clock = iter(range(10**9))
    tried = vmapped._tried

    def by_numbers(*tried_with: Any, **options: Any) -> tuple[list[Tensor], float]:
        numbers, _ = tried(*tried_with, **options)
        return numbers, -float(next(clock))

    monkeypatch.setattr(vmapped, "_tried", by_numbers)


def batch() -> tuple[tuple[Tensor, ...], Tensor]:
    part = blobs().training
    return (part.inputs[0][:8],), part.targets[:8]


@pytest.mark.usefixtures("fusing_pays")
@pytest.mark.parametrize("network", [Residual, convolutional, Attentive])
def test_fused_modules_learn_the_same_as_alone(network: Callable[[], nn.Module]) -> None:
    def members() -> list[Member]:
        return [
            member(number, network=network, optimizer=name, l2=0.001, epochs=3 + number)
            for number, name in enumerate(["adam", "sgd", "rmsprop", "adam"])
        ]

    together = members()
    assert [len(group) for group in groups(together)] == [4]
    curves = train(together)
    for one, same in zip(together, members(), strict=True):
        assert_same(one, curves[one.number], same, train([same])[same.number])
        for name, buffer in one.module.named_buffers():
            torch.testing.assert_close(buffer, same.module.get_buffer(name))


@pytest.mark.usefixtures("fusing_pays")
def test_a_fused_member_is_resumed_alone() -> None:
    def one() -> Member:
        return member(1, network=Residual)

    cohort = Cohort(blobs())
    started = one()
    cohort.join(started)
    cohort.join(member(2, network=Residual))
    for _ in range(2):
        cohort.epoch()
    tensors, meta = cohort.state(started)
    resumed, alone = one(), Cohort(blobs())
    alone.restore(resumed, tensors, meta)
    alone.join(resumed)
    while len(alone):
        alone.epoch()
    same, other = one(), Cohort(blobs())
    other.join(same)
    while len(other):
        other.epoch()
    torch.testing.assert_close(resumed.row, same.row, rtol=1e-8, atol=1e-10)


@pytest.mark.usefixtures("fusing_pays")
@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Loud, "Loud is trained alone, as it cannot be fused: its forward pass draws random numbers"),
        (Branching, "Branching is trained alone, as it cannot be fused: vmap: It looks like you're calling .item()"),
        (lambda: nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.2)).double(), "Sequential is trained alone"),
    ],
    ids=["random", "branching", "dropout"],
)
def test_modules_that_cannot_be_fused_are_trained_alone_and_said_why(
    network: Callable[[], nn.Module], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="tuner"):
        members = [member(number, network=network) for number in range(3)]
        assert [len(group) for group in groups(members)] == [1, 1, 1]
    assert reason in caplog.text


@pytest.mark.usefixtures("fusing_pays")
def test_a_cohort_tries_modules_of_one_structure_once(caplog: pytest.LogCaptureFixture) -> None:
    cohort = Cohort(blobs())
    with caplog.at_level(logging.INFO, logger="tuner"):
        for number in range(3):
            cohort.join(member(number, network=convolutional))
            cohort.epoch()
    assert caplog.text.count("of Sequential are fused") == 1


def test_modules_that_gain_nothing_are_trained_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = vmapped._tried

    def slowly(kind: Any, *rest: Any, **options: Any) -> tuple[list[Tensor], float]:
        return tried(kind, *rest, **options)[0], 2.0 if kind is Vmapped else 1.0

    monkeypatch.setattr(vmapped, "_tried", slowly)
    with caplog.at_level(logging.INFO, logger="tuner"):
        assert not pays([convolutional() for _ in range(2)], CrossEntropy(), *batch())
    assert "fused, it is slower" in caplog.text


def test_modules_that_fused_give_other_numbers_are_trained_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right = Vmapped.forward_backward
    monkeypatch.setattr(Vmapped, "forward_backward", lambda self, *batch: right(self, *batch) * 1.01)
    with caplog.at_level(logging.INFO, logger="tuner"):
        assert not pays([convolutional() for _ in range(2)], CrossEntropy(), *batch())
    assert "fused, it gives other numbers" in caplog.text


def test_trying_leaves_the_modules_as_they_were() -> None:
    modules = [Residual() for _ in range(2)]
    layout = Layout.of(modules[0])
    before = [layout.read(module) for module in modules], [m.norm.get_buffer("running_mean").clone() for m in modules]
    pays(modules, CrossEntropy(), *batch())
    after = [layout.read(module) for module in modules], [m.norm.get_buffer("running_mean").clone() for m in modules]
    torch.testing.assert_close(after, before)


def test_modules_of_other_settings_have_another_structure() -> None:
    assert structure(convolutional()) == structure(convolutional())
    assert structure(nn.Dropout(0.1)) != structure(nn.Dropout(0.2))
    assert structure(nn.Sequential(nn.ReLU())) != structure(nn.Sequential(nn.GELU()))


class Signed(nn.Linear):
    """A setting that no ``repr`` shows."""

    def __init__(self, sign: Any) -> None:
        super().__init__(5, 3)
        self._sign = sign


def test_modules_differ_in_private_settings_too_tensors_are_compared_whole_and_hooks_make_a_module_unlike_any() -> None:
    long, other = torch.zeros(2000), torch.zeros(2000)
    other[1000] = 1
    assert structure(Signed(1.0)) == structure(Signed(1.0)) != structure(Signed(-1.0))
    assert structure(Signed(long)) == structure(Signed(long.clone())) != structure(Signed(other))
    assert structure(nn.LSTM(2, 2)) == structure(nn.LSTM(2, 2))
    hooked = [Signed(1.0) for _ in range(2)]
    for module in hooked:
        module.register_forward_hook(lambda module, inputs, output: output)
    assert structure(hooked[0]) != structure(hooked[1])


class Outdated(nn.Linear):
    """It warns of something that has nothing to do with fusing."""

    def forward(self, x: Tensor) -> Tensor:
        warnings.warn("an old way of writing this", FutureWarning, stacklevel=2)
        return super().forward(x)


@pytest.mark.filterwarnings("ignore:an old way")
def test_a_warning_of_the_network_s_own_is_no_reason_against_fusing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="tuner"):
        pays([Outdated(5, 3).double() for _ in range(2)], CrossEntropy(), *batch())
    assert "cannot be fused" not in caplog.text


def test_what_is_known_of_fusing_keeps_no_data_in_memory() -> None:
    cohort = Cohort(blobs())
    own = blobs()
    seen = weakref.ref(own)
    for number in range(2):
        cohort.join(member(number, network=convolutional, epochs=1, dataset=own))
    cohort.epoch()
    del own
    gc.collect()
    assert not cohort.members
    assert seen() is None
