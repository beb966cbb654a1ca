"""Recorded steps. What records here is no GPU: it notes the work and does it when the record is played."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.tuner.training.making import assert_same, blobs, groups, member, mlp, train
from tests.tuner.training.test_vmapped import Residual, fusing_pays
from tuner.training import Cohort, Member, stack
from tuner.training.graphs import Graphed, Record, Recording
from tuner.training.network import Network

assert fusing_pays


class Played:
    """Work that writes its result where it was said to be."""

    count = 0

    def __init__(self, work: Callable[[], Tensor], result: Tensor, error: float) -> None:
        self.work = work
        self.result = result
        self.error = error

    def replay(self) -> None:
        Played.count += 1
        self.result.copy_(self.work() * (1 + self.error))


def recorder(error: float = 0.0) -> Record:
    def record(work: Callable[[], Tensor], _: torch.device) -> tuple[Recording, Tensor]:
        result = torch.zeros(3, dtype=torch.float64)
        return Played(work, result, error), result

    return record


def record_all(monkeypatch: pytest.MonkeyPatch, record: Any) -> list[Graphed]:
    """Let every network of a stack be recorded, as on a GPU."""
    made: list[Graphed] = []
    network = stack.Stack._network

    def graphed(self: stack.Stack, *rest: Any) -> Network:
        made.append(Graphed(network(self, *rest), self.gradient, record))
        return made[-1]

    Played.count = 0
    monkeypatch.setattr(stack.Stack, "_network", graphed)
    return made


def three(network: Callable[[], nn.Module]) -> list[Member]:
    return [member(number, network=network, epochs=3, l1=0.01) for number in range(3)]


NETWORKS = pytest.mark.parametrize(
    "network", [mlp, lambda: mlp(normalization="batch"), Residual], ids=["mlp", "norm", "module"]
)


def assert_taught_the_same(network: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch, record: Any) -> None:
    """Members whose steps are recorded learn the same as others."""
    plain, recorded = three(network), three(network)
    assert len(groups(plain)) == 1
    curves = train(plain)
    made = record_all(monkeypatch, record)
    again = train(recorded)
    assert made[0].repeatable
    for one, same in zip(plain, recorded, strict=True):
        assert_same(one, curves[one.number], same, again[same.number])


@pytest.mark.usefixtures("fusing_pays")
@NETWORKS
def test_recorded_steps_teach_the_same(network: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    assert_taught_the_same(network, monkeypatch, recorder())
    # 44 samples in batches of 8: of 15 full and 3 ragged batches the first of each is not recorded
    assert Played.count == 14 + 2


@pytest.mark.usefixtures("fusing_pays")
@NETWORKS
def test_a_record_that_gives_other_numbers_is_not_used(
    network: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert_taught_the_same(network, monkeypatch, recorder(error=0.1))
    assert Played.count == 2
    assert "a recorded step gives other numbers" in caplog.text


@pytest.mark.usefixtures("fusing_pays")
def test_a_record_of_nothing_is_not_used(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    class Nothing:
        def replay(self) -> None:
            pass

    assert_taught_the_same(mlp, monkeypatch, lambda work, device: (Nothing(), work()))
    assert "a recorded step gives other numbers" in caplog.text


@pytest.mark.usefixtures("fusing_pays")
def test_what_cannot_be_recorded_is_computed_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(work: Callable[[], Tensor], _: torch.device) -> tuple[Recording, Tensor]:
        work()
        raise RuntimeError("operation not permitted when stream is capturing")

    assert_taught_the_same(mlp, monkeypatch, fails)


def test_steps_that_draw_numbers_are_not_recorded() -> None:
    def repeatable(network: Callable[[], nn.Module]) -> bool:
        dataset = blobs()
        return stack.Stack([member(0, network=network)], dataset, torch.device("cpu")).network.repeatable

    assert repeatable(mlp)
    assert not repeatable(lambda: mlp(dropout=0.5))
    assert not repeatable(Residual)  # alone, by autograd: what it does nobody has tried


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@NETWORKS
def test_on_a_gpu_recorded_steps_teach_the_same(
    network: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    def learn(record: bool) -> Tensor:
        with monkeypatch.context() as patched:
            if not record:
                patched.setattr("tuner.training.stack.Graphed", lambda network, gradient: network)
            cohort = Cohort(blobs(), device="cuda")
            members = three(network)
            for one in members:
                cohort.join(one)
            while len(cohort):
                cohort.epoch()
            return torch.stack([one.row["weights"].cpu() for one in members])

    torch.testing.assert_close(learn(record=True), learn(record=False), rtol=1e-6, atol=1e-8)
