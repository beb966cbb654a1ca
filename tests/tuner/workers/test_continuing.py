"""Trials that a worker put down, or took along when it died, are continued by others."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from storage import SQLStorage, open_storage
from tests.tuner import studies
from tuner import attributes, failures, study
from tuner.results import Results
from tuner.spec import StudySpec, parse_spec
from tuner.workers.trainable_worker import TrainableWorker
from tuner.workers.worker import Leaving


def test_a_worker_that_leaves_gives_its_trials_back_and_another_finishes_them(tmp_path: Path) -> None:
    results = studies.create(tmp_path, search={"sampler": "random", "pruner": "none"})
    leaving = Leaving(results.storage, results.study_id, None)
    worker = studies.make_worker(results, leaving=leaving)
    advance = worker._train  # type: ignore[union-attr]
    rounds = iter(range(100))

    def advance_and_ask() -> None:
        advance()
        if next(rounds) == 8:
            leaving.ask("interrupted")

    worker._train = advance_and_ask  # type: ignore[method-assign, union-attr]
    assert worker.run() == "interrupted"
    assert results.status().counts["interrupted"] == 1
    assert studies.work(results) == "budget spent"
    assert [row.number for row in results.trials()] == list(range(6))
    assert {row.state for row in results.trials()} == {"finished"}
    for row in results.trials():
        steps = [epoch.epoch for epoch in results.epochs(row.number)]
        assert steps == list(range(1, len(steps) + 1))


def lose(results: Results, trials: int) -> None:
    """Claim so many trials and die with them, as a launcher sees it."""
    storage = open_storage(results.storage.safe_url)
    worker_id = storage.register_worker(results.study_id, name="dying")
    assert len(storage.claim(results.study_id, trials)) == trials
    results.storage.unregister_worker(worker_id, died="was killed by signal 9 (SIGKILL)")


def test_a_trial_that_takes_a_whole_container_with_it_again_and_again_is_given_up(tmp_path: Path) -> None:
    now = [0.0]
    results = studies.create(tmp_path, search={"sampler": "random", "pruner": "none"}, budget={"trials": 3})
    for vanished in range(failures.MOST_VANISHED):
        storage = SQLStorage(results.storage.safe_url, clock=lambda: now[0])
        taken = 3 if vanished < failures.SUSPECT_VANISHED else 1  # then by itself
        assert len(storage.claim(results.study_id, taken)) == taken
        now[0] += 61
    assert studies.work(results) == "budget spent"
    assert [row.state for row in results.trials()] == ["failed", "finished", "finished"]
    failure = results.trial(0).attributes[attributes.FAILURE]
    assert failure["class"] == attributes.LOST
    assert failure["reason"].startswith(f"{failures.MOST_VANISHED} workers in a row vanished with it")


def test_trials_with_which_workers_died_are_tried_alone_so_that_only_the_guilty_one_is_lost(tmp_path: Path) -> None:
    results = studies.create(tmp_path, search={"sampler": "random", "pruner": "none"})
    for _ in range(failures.SUSPECT_LOSSES):
        lose(results, 3)
    lose(results, 1)
    worker = studies.make_worker(results, places=4)
    assert isinstance(worker, TrainableWorker)
    together: list[set[int]] = []
    train = worker._train

    def note_and_train() -> None:
        together.append(set(worker.running))
        train()

    worker._train = note_and_train  # type: ignore[method-assign]
    assert worker.run() == "budget spent"
    assert [row.state for row in results.trials()] == ["failed"] + ["finished"] * 5
    assert results.trial(0).attributes[attributes.FAILURE]["class"] == attributes.LOST
    assert {1} in together and {2} in together and {3, 4, 5} in together
    assert not [trained for trained in together if trained > {1} or trained > {2}]


def test_a_trial_continues_from_its_last_epoch_as_if_nothing_had_happened(tmp_path: Path) -> None:
    studies_made = []
    for name, leave_after in (("whole", None), ("parts", 4)):
        (tmp_path / name).mkdir()
        results = studies.create(
            tmp_path / name,
            search={"sampler": "random", "pruner": "none"},
            budget={"trials": 3},
            training={"epochs": 12},
        )
        while results.status().done < 3:
            leaving = Leaving(results.storage, results.study_id, None)
            worker = studies.make_worker(results, places=2, leaving=leaving)
            if leave_after is not None:
                leave_after_epochs(worker, leaving, leave_after)
            worker.run()
        studies_made.append(results)
    whole, parts = studies_made
    assert studies.curves(whole).keys() == studies.curves(parts).keys()
    for number, curve in studies.curves(whole).items():
        assert studies.curves(parts)[number] == [pytest.approx(epoch, rel=1e-4, abs=1e-6) for epoch in curve]
    assert not list((tmp_path / "parts").rglob("*.tmp"))


def leave_after_epochs(worker: Any, leaving: Leaving, epochs: int) -> None:
    """Have the worker asked to leave after so many epochs."""
    advance = worker._train
    left = iter(range(epochs, -100, -1))

    def advance_and_ask() -> None:
        advance()
        if next(left) <= 1:
            leaving.ask("interrupted")

    worker._train = advance_and_ask


def test_checkpoints_of_ended_trials_go_and_a_preview_says_which(tmp_path: Path) -> None:
    training = {"epochs": 4, "checkpoints": {"keep_best": 1}}
    results = studies.create(tmp_path, budget={"trials": 3}, search={"pruner": "none"}, training=training)
    worker = studies.make_worker(results)
    assert isinstance(worker, TrainableWorker)
    worker.checkpoints.due = lambda: True  # type: ignore[method-assign]
    worker.run()
    kept = results.storage.study_checkpoints(results.study_id)
    assert len(kept) == 1
    best = results.best()[0].number
    assert kept[0].trial_id == results.storage.get_trial_id_from_study_id_trial_number(results.study_id, best)
    url = f"sqlite:///{tmp_path / 'tuner.db'}"
    spec = study.stored_spec(results)
    attributes.write_spec(results.storage, results.study_id, parse_spec(forgetful(spec), where="test"))
    results.storage.flush()
    (preview,) = study.clean("quick", storage=url, preview=True)
    assert results.storage.study_checkpoints(results.study_id) == kept
    assert study.clean("quick", storage=url) == [preview]
    assert not [path for path in (tmp_path / "tuner-checkpoints").rglob("*") if path.is_file()]


def forgetful(spec: StudySpec) -> dict[str, Any]:
    """Return the spec as written, with no checkpoint to be kept."""
    values = spec.model_dump(mode="json")
    values["training"]["checkpoints"]["keep_best"] = 0
    return values


def test_a_trial_that_another_worker_took_over_is_let_go(tmp_path: Path) -> None:
    results = studies.create(tmp_path, budget={"trials": 2}, search={"sampler": "random", "pruner": "none"})
    worker = studies.make_worker(results, places=2)
    advance = worker._train  # type: ignore[union-attr]
    stolen: list[int] = []

    def advance_and_steal() -> None:
        advance()
        if not stolen:
            trial_id = results.storage.get_trial_id_from_study_id_trial_number(results.study_id, 1)
            with closing(sqlite3.connect(tmp_path / "tuner.db")) as other, other:
                other.execute("UPDATE tuner_leases SET token = token + 1 WHERE trial_id = ?", (trial_id,))
            results.storage.renew([trial_id])
            stolen.append(trial_id)

    worker._train = advance_and_steal  # type: ignore[method-assign, union-attr]
    leaving = worker.leaving
    ask_when_only_it_is_left(worker, leaving)
    worker.run()
    assert results.trial(0).state == "finished"
    assert results.trial(1).state == "running"


def ask_when_only_it_is_left(worker: Any, leaving: Leaving) -> None:
    """Have the worker leave once it has told all it holds, instead of waiting for the one it lost."""
    fill = worker._fill

    def fill_or_leave() -> int:
        claimed: int = fill()
        if not claimed and not worker.running:
            leaving.ask("nothing left")
        return claimed

    worker._fill = fill_or_leave
