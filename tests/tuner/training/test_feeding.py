"""Data that is not where the network is: read from elsewhere, too large for the device, or mapped from a file."""

from __future__ import annotations

import resource
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.tuner.training.making import Accuracy, blobs, curve, member, mlp, train
from tests.tuner.training.test_modules import TwoTowers, two_inputs
from tuner.preparation import fingerprint, same_data
from tuner.training import Cohort, CrossEntropy, Dataset, Part, feeding, predict
from tuner.training.data import Placement
from tuner.training.randomness import order


class Shelf:
    """Samples that have to be fetched."""

    def __init__(self, samples: Tensor, *, broken: int | None = None) -> None:
        self.samples = samples
        self.broken = broken
        self.fetched: list[int] = []
        self.threads: set[str] = set()

    def __len__(self) -> int:
        return len(self.samples)

    def gather(self, rows: Tensor) -> Tensor:
        if self.broken is not None and bool((rows == self.broken).any()):
            raise OSError(f"sample {self.broken} cannot be read")
        self.fetched.append(len(rows))
        self.threads.add(threading.current_thread().name)
        return self.samples[rows]


def shelved(dataset: Dataset, **options: int) -> Dataset:
    """The same data, of which the last input is fetched."""

    def part(one: Part) -> Part:
        return replace(one, inputs=one.inputs[:-1], sources=(Shelf(one.inputs[-1], **options),))

    return replace(dataset, training=part(dataset.training), validation=part(dataset.validation))


def feeders() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("feeding")]


@pytest.mark.parametrize("changes", [{}, {"data_fraction": 0.6}, {"optimizer": "gradient_descent", "batch_size": None}])
def test_data_that_is_fetched_gives_the_very_curve_of_data_in_memory(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.training.batches.GATHERED_BYTES", 8 * 5 * 8 * 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    curves = [train([member(number, **changes) for number in range(2)], data) for data in (blobs(), shelved(blobs()))]
    for number in range(2):
        assert torch.equal(curve(curves[0][number]), curve(curves[1][number]))
    assert not feeders()


def test_modules_are_fed_from_memory_and_from_elsewhere_at_once() -> None:
    curves = [train([member(0, network=TwoTowers)], dataset)[0] for dataset in (two_inputs(), shelved(two_inputs()))]
    assert torch.equal(curve(curves[0]), curve(curves[1]))


def test_samples_are_fetched_beside_the_training() -> None:
    dataset = shelved(blobs())
    train([member(0, epochs=1)], dataset)
    (source,) = dataset.training.sources
    assert isinstance(source, Shelf)
    assert any(name.startswith("feeding") for name in source.threads)


def test_an_error_while_fetching_reaches_the_trainer_and_leaves_no_thread_behind() -> None:
    cohort = Cohort(shelved(blobs(), broken=7))
    cohort.join(member(0))
    with pytest.raises(OSError, match="sample 7 cannot be read"):
        cohort.epoch()
    assert not feeders()


def test_an_epoch_that_is_broken_off_leaves_no_thread_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fragile(CrossEntropy):
        def backward(self, outputs: Tensor, targets: Tensor, gradient: Tensor) -> Tensor:
            raise ArithmeticError

    monkeypatch.setattr("tuner.training.batches.GATHERED_BYTES", 1)
    cohort = Cohort(shelved(blobs()))
    cohort.join(member(0, loss=Fragile()))
    with pytest.raises(ArithmeticError):
        cohort.epoch()
    assert not feeders()


def test_what_is_fetched_is_predicted_a_little_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "CHUNK_BYTES", 3 * 5 * 8)
    plain, fetched = blobs().validation, shelved(blobs()).validation
    module = mlp()
    torch.testing.assert_close(predict(module, plain.feeds), predict(module, fetched.feeds))
    (source,) = fetched.sources
    assert isinstance(source, Shelf)
    assert max(source.fetched) == 3
    cohort = Cohort(shelved(blobs()), [Accuracy()])
    cohort.join(member(0, network=lambda: nn.Sequential(nn.Linear(5, 3)).double()))
    cohort.epoch()


def test_inputs_that_do_not_fit_the_device_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = torch.zeros(6, 2), torch.zeros(6, 200)
    part = Part(inputs=(small, large), targets=torch.zeros(6))
    dataset = Dataset(training=part, validation=part, info={"classes": ["a"]})
    monkeypatch.setattr("tuner.training.data.free_bytes", lambda device: 1000)
    placement = Placement("meta")  # any device that is not the host's
    placed = placement.of(dataset)
    assert [x.device.type for x in placed.training.inputs] == ["meta", "cpu"]
    assert placed.training.inputs[1] is large
    assert placed.validation.targets.device.type == "meta"
    assert placed.info == {"classes": ["a"]}
    assert placement.of(dataset) is placed


def test_a_gpu_without_a_number_is_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert Placement("cuda").device == torch.device("cuda:1")
    assert Placement("cuda:0").device == torch.device("cuda:0")


def test_data_that_lies_on_its_device_is_not_copied() -> None:
    dataset = blobs()
    assert Placement("cpu").of(dataset).training.inputs[0] is dataset.training.inputs[0]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured in kilobytes there")
def test_a_mapped_file_is_never_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.preparation.FINGERPRINT_NUMBERS", 1_000_000)
    samples, numbers = 8_000, 16_384
    inputs = torch.from_file(str(tmp_path / "inputs"), shared=True, size=samples * numbers).view(samples, numbers)
    training = Part(inputs=(inputs,), targets=torch.arange(samples) % 3)
    dataset = Dataset(training=training, validation=Part(inputs=(inputs[:50],), targets=training.targets[:50]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert same_data(fingerprint(dataset), fingerprint(dataset))
    network = lambda: mlp(torch.float32, inputs=numbers)  # noqa: E731
    train([member(0, network=network, epochs=1, data_fraction=0.005)], dataset)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < inputs.numel() * inputs.element_size() / 4


def test_a_fingerprint_tells_other_samples_of_a_source() -> None:
    one, same, other = (shelved(blobs()) for _ in range(3))
    (source,) = other.validation.sources
    assert isinstance(source, Shelf)
    source.samples = source.samples.flip(0)
    assert same_data(fingerprint(one), fingerprint(same))
    assert not same_data(fingerprint(one), fingerprint(other))


@pytest.mark.parametrize("fetched", [False, True])
def test_a_member_is_judged_by_the_samples_it_learns_from(fetched: bool) -> None:
    dataset = shelved(blobs()) if fetched else blobs()
    one = member(data_fraction=0.25, seed=3)
    learned = Cohort(dataset, [Accuracy()]).learned_by(one)
    rows = sorted({row for epoch in range(5) for row in order(3, epoch, 44, 0.25).tolist()})
    assert len(learned) == len(rows) == 11
    (seen,) = learned.gather(torch.arange(11))
    assert torch.equal(seen, blobs().training.inputs[0][rows])
    assert torch.equal(learned.targets, blobs().training.targets[rows])
