"""What a GPU asks of a training step: everything lies on the device, and the host never waits for a number from it.

The device of these tests is torch's ``meta``: it knows shapes and no values, so whatever needs a value on the host, or
mixes host and device, is an error there; and what is written for the CPU alone is not taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.tuner.training.making import blobs, member, mlp
from tests.tuner.training.test_feeding import shelved
from tests.tuner.training.test_vmapped import Attentive, Residual, convolutional
from tuner.training import LOSSES, OPTIMIZERS, Cohort, CrossEntropy, Dataset, Loss, Member, Part, vmapped
from tuner.training.fusion import Fusion
from tuner.training.stack import Stack


class Copies(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what goes from the host to the device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        copied = func is torch.ops.aten._to_copy.default and args[0].device.type == "cpu"
        self.count += copied and result.device.type == "meta"
        return result


def learn(members: list[Member], dataset: Dataset | None = None) -> tuple[Tensor, int]:
    """Take the steps of an epoch; return the training losses and how often something went to the device meanwhile."""
    cohort = Cohort(dataset or blobs(), device="meta")
    stack = Stack(members, cohort.dataset, cohort.device)
    with Copies() as copies:
        losses, _ = cohort._learn(stack)
    predicted = stack.network.predict(stack.dataset.validation.feeds)
    assert predicted.device.type == losses.device.type == "meta"
    return losses, copies.count


@contextmanager
def without_autocast(*_: object) -> Iterator[None]:
    """The device of these tests has none."""
    with nullcontext():
        yield


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_optimizer_or_penalty_makes_the_host_wait(optimizer: str) -> None:
    settings: dict[str, Any] = {"l1": 0.1, "l2": 0.1, "weight_decay": 0.1, "gradient_clip": 1.0}
    batch = None if optimizer == "gradient_descent" else 8
    members = [member(n, optimizer=optimizer, momentum=0.5 * n, batch_size=batch, **settings) for n in range(2)]
    assert learn(members)[0].shape == (2,)


@pytest.mark.parametrize("normalization", ["none", "layer", "batch"])
@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
def test_no_layer_of_a_perceptron_makes_the_host_wait(normalization: str, activation: str) -> None:
    def network() -> nn.Module:
        return mlp(normalization=normalization, activation=activation, dropout=0.3)

    learn([member(number, network=network) for number in range(2)])


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("network", [Residual, convolutional, Attentive])
def test_no_module_makes_the_host_wait(
    network: Callable[[], nn.Module], precision: str, members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.training.precision.autocast", without_autocast)
    dataset = blobs(dtype=torch.float32)
    made = [member(n, network=lambda: network().float(), precision=precision) for n in range(members)]
    learn(made, dataset)


LIKE_CROSS_ENTROPY = [
    CrossEntropy(label_smoothing=0.1),
    CrossEntropy(class_weights=(1.0, 2.0, 3.0)),
    CrossEntropy(ignore_index=0),
]


@pytest.mark.parametrize("loss", [*LIKE_CROSS_ENTROPY, *(kind() for kind in LOSSES.values())], ids=repr)
def test_no_loss_makes_the_host_wait(loss: Loss) -> None:
    def part(one: Part) -> Part:
        return one if isinstance(loss, CrossEntropy) else Part(inputs=one.inputs, targets=torch.ones(len(one), 3))

    plain = blobs()
    dataset = Dataset(training=part(plain.training), validation=part(plain.validation))
    learn([member(number, loss=loss) for number in range(2)], dataset)


def test_whether_fusing_pays_is_tried_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def pays(modules: list[nn.Module], loss: Loss, inputs: tuple[Tensor, ...], targets: Tensor, *_: object) -> bool:
        parameters = [p for module in modules for p in module.parameters()]
        tried.extend(x.device.type for x in (*parameters, *inputs, targets))
        return True

    monkeypatch.setattr(vmapped, "pays", pays)
    own = blobs()  # as the worker has it: on the host
    members = [member(number, network=convolutional, dataset=own) for number in range(2)]
    assert [len(group) for group in Fusion(blobs(), torch.device("meta")).groups(members)] == [2]
    assert set(tried) == {"meta"}


def test_more_steps_send_no_more_to_the_device() -> None:
    def sent(batch_size: int) -> int:
        members = [member(n, network=lambda: mlp(dropout=0.3), batch_size=batch_size, l1=0.1) for n in range(2)]
        return learn(members)[1]

    few, many = sent(22), sent(4)
    assert 0 < few == many


def test_inputs_that_stay_on_the_host_reach_the_device_batch_by_batch() -> None:
    losses, copies = learn([member(0)], shelved(blobs()))
    assert losses.shape == (1,)
    assert copies > 0
