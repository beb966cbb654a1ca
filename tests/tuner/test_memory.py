"""What becomes of trials when memory runs out, and how many are expected to fit."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.tuner import studies
from tests.tuner.training.making import blobs, member, mlp
from tuner import attributes
from tuner.results import Results
from tuner.training import Cohort, vmapped
from tuner.training.memory import free_bytes, member_bytes
from tuner.workers import places
from tuner.workers.places import Places
from tuner.workers.trainable_worker import TrainableWorker

CPU = torch.device("cpu")


def work_with_room_for(most: int, results: Results, monkeypatch: pytest.MonkeyPatch) -> Places:
    """Work on a study on a device that holds so many trials at once, as is noticed in the midst of an epoch."""
    learn = Cohort._learn

    def crowded(self: Cohort, stack: Any) -> Any:
        learned = learn(self, stack)  # the weights have changed by then
        if len(self) > most and max(one.epoch for one in self.members) >= 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return learned

    monkeypatch.setattr(Cohort, "_learn", crowded)
    worker = studies.make_worker(results, places=8)
    assert isinstance(worker, TrainableWorker)
    assert worker.run() == "budget spent"
    return worker.places


def test_a_cohort_that_is_too_large_is_halved_and_no_epoch_is_lost_or_counted_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = []
    for name in ("roomy", "crowded"):
        (tmp_path / name).mkdir()
        made.append(
            studies.create(
                tmp_path / name,
                search={"sampler": "random", "pruner": "none"},
                budget={"trials": 8},
                training={"epochs": 3},
            )
        )
    roomy, crowded = made
    studies.work(roomy)
    monkeypatch.setattr("tuner.checkpoints.LEAST_SECONDS", 0.0)
    monkeypatch.setattr("tuner.checkpoints.MOST_SHARE", 1.0)
    with caplog.at_level(logging.INFO, logger="tuner.notes"):
        assert work_with_room_for(3, crowded, monkeypatch).now == 2
    assert "8 trials at once ran out of memory: 4 go on" in caplog.text
    assert {row.state for row in crowded.trials()} == {"finished"}
    assert [row.number for row in crowded.trials()] == list(range(8))
    for number, curve in studies.curves(roomy).items():
        assert [pytest.approx(epoch, rel=1e-4, abs=1e-6) for epoch in curve] == studies.curves(crowded)[number]


def test_a_trial_that_is_too_large_alone_is_told_as_pruned_and_the_others_have_their_places_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = Cohort._learn

    def too_wide(self: Cohort, stack: Any) -> Any:
        if stack.members[0].module.hidden[0] > 150:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return learn(self, stack)

    monkeypatch.setattr(Cohort, "_learn", too_wide)
    results = studies.create(tmp_path, space={"depth": 1, "width": [32, 160]}, budget={"trials": 8})
    worker = studies.make_worker(results, places=4)
    assert isinstance(worker, TrainableWorker)
    assert worker.run() == "budget spent"
    assert worker.places.now == 4
    assert [row.number for row in results.trials()] == list(range(8))
    for row in results.trials():
        failed = row.attributes.get(attributes.FAILURE, {}).get("class")
        assert failed == (attributes.OUT_OF_MEMORY if row.params["width"] == 160 else None)
    assert {row.params["width"] for row in results.trials()} == {32, 160}


def test_after_the_trial_that_raised_is_found_the_others_train_together_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = Cohort._learn
    trained_together = []

    def fails(self: Cohort, stack: Any) -> Any:
        trained_together.append(len(self))
        if any(one.number == 1 for one in stack.members):
            raise ZeroDivisionError
        return learn(self, stack)

    monkeypatch.setattr(Cohort, "_learn", fails)
    results = studies.create(tmp_path, space={"depth": 1, "width": 32, "batch_size": 32}, budget={"trials": 9})
    studies.work(results, places=4)
    assert [row.number for row in results.trials() if row.state == "failed"] == [1]
    assert trained_together[0] == 4
    assert 1 in trained_together
    assert max(trained_together[trained_together.index(1) :]) == 4


def test_modules_that_run_out_of_memory_while_they_are_tried_are_not_called_unfusable() -> None:
    class Hungry(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            raise torch.OutOfMemoryError

    part = blobs(dtype=torch.float32).training
    with pytest.raises(torch.OutOfMemoryError):
        vmapped.pays([Hungry(5, 3), Hungry(5, 3)], member().loss, part.inputs, part.targets)


def test_no_more_trials_train_at_once_than_memory_is_expected_to_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = studies.create(tmp_path, space={"depth": 1, "width": 32, "batch_size": 16}, budget={"trials": 200})
    monkeypatch.setattr(places, "member_bytes", lambda member, dataset, device: 1000)
    for free, expected in ((10**9, 16), (8000, 6), (10, 1)):
        monkeypatch.setattr(places, "free_bytes", lambda device, free=free: free)
        worker = studies.make_worker(results, places=None)
        assert isinstance(worker, TrainableWorker)
        assert worker.places.now == expected


def test_what_a_member_takes_grows_with_its_weights_and_with_its_batches() -> None:
    def taken(width: int, batch: int) -> int:
        network = lambda: mlp(hidden=(width,))  # noqa: E731
        return member_bytes(member(network=network, batch_size=batch), blobs(2000), CPU)

    weights = 8 * (5 * 1000 + 1000 + 1000 * 3 + 3)
    assert taken(1000, 1) > 5 * weights  # weights, the best ones, Adam's two slots, gradient
    per_sample = (taken(1000, 1001) - taken(1000, 1)) / 1000
    assert 8 * 1000 < per_sample < 8 * 1000 * 6  # what the activation keeps, once or a few times


def test_a_member_is_measured_without_a_trace_in_the_random_numbers() -> None:
    torch.manual_seed(1)
    member_bytes(member(network=lambda: nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.5)).double()), blobs(), CPU)
    drawn = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), drawn)


def test_the_hosts_free_memory_is_known() -> None:
    assert 2**20 < free_bytes(CPU) < 2**50
