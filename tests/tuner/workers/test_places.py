from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tuner import studies
from tuner.workers.trainable_worker import TrainableWorker

ONE_SHAPE = {"depth": 2, "width": 32, "activation": "relu", "batch_size": 16}


@pytest.mark.parametrize(
    ("space", "trials", "cohort", "places"),
    [
        ({}, 200, None, 1),
        (ONE_SHAPE, 200, None, 16),
        (ONE_SHAPE, 40, None, 5),
        (ONE_SHAPE, 4, None, 1),
        (ONE_SHAPE | {"batch_size": [16, 32]}, 200, None, 16),
        ({}, 200, 7, 7),
    ],
)
def test_a_worker_trains_as_many_trials_at_once_as_are_likely_alike(
    tmp_path: Path, space: dict[str, Any], trials: int, cohort: int | None, places: int
) -> None:
    training = {"epochs": 2} | ({"cohort": cohort} if cohort else {})
    results = studies.create(tmp_path, space=space, budget={"trials": trials}, training=training)
    worker = studies.make_worker(results, places=None)
    assert isinstance(worker, TrainableWorker)
    assert worker.places.now == places


def test_a_study_of_one_shape_trained_in_cohorts_keeps_its_budget(tmp_path: Path) -> None:
    results = studies.create(tmp_path, space=ONE_SHAPE, budget={"trials": 40})
    assert studies.work(results, places=None) == "budget spent"
    assert [row.number for row in results.trials()] == list(range(40))
    assert {row.state for row in results.trials()} <= {"finished", "pruned"}
