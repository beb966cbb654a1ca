"""Exactly N trials, whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy import Connection

import storage as st
from storage import schema
from tests.storage.conftest import Clock

Open = Callable[[], st.SQLStorage]


def test_the_budget_is_a_total_of_the_study(worker: Open) -> None:
    first, second = worker(), worker()
    study_id = first.create_new_study([StudyDirection.MINIMIZE])
    assert first.get_budget(study_id) is None
    first.set_budget(study_id, 5)
    assert second.get_budget(study_id) == 5
    assert [len(first.claim(study_id, 3)), len(second.claim(study_id, 3)), len(first.claim(study_id, 3))] == [3, 2, 0]
    first.set_budget(study_id, 6)
    assert [claim.number for claim in second.claim(study_id, 9)] == [5]


def test_a_lost_trial_gives_its_place_back(worker: Open, clock: Clock) -> None:
    dead, second = worker(), worker()
    study_id = dead.create_new_study([StudyDirection.MINIMIZE])
    dead.set_budget(study_id, 2)
    dead.claim(study_id, 2)
    assert second.claim(study_id, 2) == []
    clock.now += 61
    assert [claim.number for claim in second.claim(study_id, 2)] == [0, 1]


def test_numbers_start_again_where_a_crash_of_the_database_undid_a_claim(worker: Open) -> None:
    first, second = worker(), worker()
    study_id = first.create_new_study([StudyDirection.MINIMIZE])
    first.set_budget(study_id, 4)
    (kept,) = first.claim(study_id, 1)
    undone = [claim.trial_id for claim in first.claim(study_id, 2)]

    def undo(connection: Connection) -> None:
        for table in (schema.tuner_leases, schema.trials):
            connection.execute(table.delete().where(table.c.trial_id.in_(undone)))

    second.database.write(undo)
    first.database.close()  # a crash ends every connection
    assert [claim.number for claim in second.claim(study_id, 1)] == [1]
    assert [claim.number for claim in first.claim(study_id, 4)] == [2, 3]
    with first.batch():
        for trial_id in first.held():
            first.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.0])
    assert kept.trial_id not in first.lost()
    assert worker().get_n_trials(study_id, TrialState.COMPLETE) == 3


def test_many_threads_claim_exactly_the_budget(worker: Open) -> None:
    storages = [worker() for _ in range(4)]
    study_id = storages[0].create_new_study([StudyDirection.MINIMIZE])
    storages[0].set_budget(study_id, 30)
    numbers: list[int] = []

    def run(storage: st.SQLStorage) -> None:
        while claims := storage.claim(study_id, 3):
            with storage.batch():
                for claim in claims:
                    storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [0.0])
            numbers.extend(claim.number for claim in claims)

    threads = [threading.Thread(target=run, args=(storage,)) for storage in storages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(30))
    assert worker().get_n_trials(study_id, TrialState.COMPLETE) == 30


def test_who_adds_at_the_same_time_adds_up(worker: Open) -> None:
    storages = [worker() for _ in range(4)]
    study_id = storages[0].create_new_study([StudyDirection.MINIMIZE])
    storages[0].set_budget(study_id, 1)

    def add(storage: st.SQLStorage) -> None:
        def more(budget: int | None, kept: Mapping[str, Any]) -> st.Amended:
            return st.Amended(user_attrs={"total": kept.get("total", 1) + 1}, budget=(budget or 0) + 1)

        for _ in range(5):
            storage.amend_study(study_id, more)

    threads = [threading.Thread(target=add, args=(storage,)) for storage in storages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = worker()
    assert (seen.get_budget(study_id), seen.get_study_user_attrs(study_id)) == (21, {"total": 21})


def test_an_enqueued_trial_beyond_the_budget_waits(worker: Open) -> None:
    first = worker()
    study = optuna.create_study(storage=first)
    first.set_budget(study._study_id, 1)
    first.claim(study._study_id, 1)
    study.enqueue_trial({"x": 1})
    assert first.claim(study._study_id, 1) == []
    first.set_budget(study._study_id, 2)
    assert [claim.number for claim in first.claim(study._study_id, 1)] == [1]


def test_nothing_is_claimed_while_a_stop_is_requested(worker: Open) -> None:
    first, second = worker(), worker()
    study_id = first.create_new_study([StudyDirection.MINIMIZE])
    assert not second.stop_requested(study_id)
    first.request_stop(study_id)
    assert second.stop_requested(study_id)
    assert second.claim(study_id, 1) == []
    second.clear_stop(study_id)
    assert not first.stop_requested(study_id)
    assert len(first.claim(study_id, 1)) == 1


def test_budget_and_stop_flag_do_not_overwrite_each_other(worker: Open) -> None:
    first = worker()
    study_id = first.create_new_study([StudyDirection.MINIMIZE])
    first.set_budget(study_id, 3)
    first.request_stop(study_id)
    first.clear_stop(study_id)
    assert first.get_budget(study_id) == 3


def test_a_negative_budget_is_refused(worker: Open) -> None:
    first = worker()
    study_id = first.create_new_study([StudyDirection.MINIMIZE])
    with pytest.raises(ValueError, match="0 or more trials, got -1"):
        first.set_budget(study_id, -1)


def test_an_unknown_study_is_a_key_error(worker: Open) -> None:
    with pytest.raises(KeyError):
        worker().claim(10**6, 1)
    with pytest.raises(KeyError):
        worker().set_budget(10**6, 1)
    with pytest.raises(KeyError):
        worker().amend_study(10**6, lambda *_: st.Amended(user_attrs={}, budget=1))
