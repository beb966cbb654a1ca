"""Writes are few, and what is promised to be on disk is in the database."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

import storage as st
from tests.storage.conftest import commits

Open = Callable[[], st.SQLStorage]


def test_claiming_reporting_and_telling_sixteen_trials_are_few_transactions(worker: Open) -> None:
    storage = worker()
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))
    with commits() as done:
        claims = storage.claim(study._study_id, 16)
    assert len(done) == 1
    with commits() as done, storage.batch():
        members = [Trial(study, claim.trial_id) for claim in claims]
        for member in members:
            for i in range(8):
                member.suggest_float(f"p{i}", 0, 1)
    assert len(done) == 1
    with commits() as done, storage.batch():
        for member in members:
            member.report(0.5, 0)
            storage.record_epoch(member._trial_id, 0, {"training_loss": 0.5})
    assert len(done) == 1
    with commits() as done, storage.batch():
        for member in members:
            study.tell(member, 0.5)
    assert len(done) == 1
    seen = worker().get_all_trials(study._study_id)
    assert all(
        t.state is TrialState.COMPLETE and len(t.params) == 8 and t.intermediate_values == {0: 0.5} for t in seen
    )


def test_what_is_told_is_in_the_database_with_all_that_came_before(worker: Open) -> None:
    storage, other = worker(), worker()
    study_id = storage.create_new_study([StudyDirection.MAXIMIZE])
    (claim,) = storage.claim(study_id, 1)
    storage.set_trial_param(claim.trial_id, "x", 0.5, FloatDistribution(0, 1))
    storage.set_trial_param(claim.trial_id, "c", 1, CategoricalDistribution(("a", None)))
    storage.set_trial_intermediate_value(claim.trial_id, 0, float("nan"))
    storage.set_trial_intermediate_value(claim.trial_id, 1, float("inf"))
    storage.set_trial_user_attr(claim.trial_id, "quote", 'it\'s "ü" \\ {}')
    storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [float("-inf")])
    seen, kept = other.get_trial(claim.trial_id), storage.get_trial(claim.trial_id)
    assert repr(seen) == repr(kept)
    assert seen.params == {"x": 0.5, "c": None}
    assert seen.user_attrs == {"quote": 'it\'s "ü" \\ {}'}


def test_own_reads_see_what_is_buffered(worker: Open) -> None:
    storage = worker()
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    (claim,) = storage.claim(study_id, 1)
    with storage.batch():
        storage.set_trial_intermediate_value(claim.trial_id, 0, 1.0)
        storage.record_epoch(claim.trial_id, 0, {"training_loss": 2.0})
        assert storage.get_trial(claim.trial_id).intermediate_values == {0: 1.0}
        assert storage.epochs(claim.trial_id) == [(0, {"training_loss": 2.0})]
        storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [1.0])
        assert storage.get_all_trials(study_id)[0].state is TrialState.COMPLETE
        assert storage.get_all_trials(study_id, states=(TrialState.RUNNING,)) == []
        assert storage.get_n_trials(study_id, TrialState.COMPLETE) == 1


def test_reports_reach_the_database_behind_the_back_of_the_training(worker: Open) -> None:
    storage, other = worker(), worker()
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    (claim,) = storage.claim(study_id, 1)
    storage.set_trial_intermediate_value(claim.trial_id, 0, 1.0)
    while not other.get_trial(claim.trial_id).intermediate_values:
        pass  # the test's time limit is the limit


@pytest.mark.parametrize("durable", [True, False])
def test_what_was_written_before_is_written_over(worker: Open, durable: bool) -> None:
    storage, other = worker(), worker()
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    (claim,) = storage.claim(study_id, 1)
    for round_ in range(3):
        storage.set_trial_param(claim.trial_id, "x", round_ / 4, FloatDistribution(0, 1))
        storage.set_trial_intermediate_value(claim.trial_id, 0, float(round_))
        storage.set_trial_intermediate_value(claim.trial_id, 1 + round_, float(round_))
        storage.set_trial_user_attr(claim.trial_id, "round", round_)
        storage.record_epoch(claim.trial_id, 0, {"training_loss": float(round_)})
        if durable:
            storage.flush()
        else:
            assert storage.write_behind()
    seen = other.get_trial(claim.trial_id)
    assert (seen.params, seen.user_attrs) == ({"x": 0.5}, {"round": 2})
    assert seen.intermediate_values == {0: 2.0, 1: 0.0, 2: 1.0, 3: 2.0}
    assert other.epochs(claim.trial_id) == [(0, {"training_loss": 2.0})]


def test_names_texts_and_numbers_of_every_kind_are_written_as_they_are(worker: Open) -> None:
    storage, other = worker(), worker()
    study_id = storage.create_new_study([StudyDirection.MINIMIZE] * 4)
    names = ["", "a,b", "{a}", 'a"b', "a\\b", "a\\", "NULL", "tab\tline\nend", "ü – 漢 🙂", "'; --", "%(x)s %"]
    (claim,) = storage.claim(study_id, 1)
    for place, name in enumerate(names):
        storage.set_trial_param(claim.trial_id, name, place, CategoricalDistribution(tuple(names)))
        storage.set_trial_user_attr(claim.trial_id, name, [name, None])
        storage.set_trial_system_attr(claim.trial_id, name, {name: "NULL"})
    reports: list[Any] = [np.float64(0.1), np.float32(1 / 3), 1e-300, 1.7976931348623157e308, -0.0, 2**53 + 1, True]
    for step, report in enumerate(reports):
        storage.set_trial_intermediate_value(claim.trial_id, step, report)
    storage.set_trial_state_values(
        claim.trial_id, TrialState.COMPLETE, [np.float64(1 / 3), float("inf"), float("-inf"), 0]
    )
    seen = other.get_trial(claim.trial_id)
    assert seen == storage.get_trial(claim.trial_id)
    assert seen.params == {name: name for name in names}
    assert seen.user_attrs == {name: [name, None] for name in names}
    assert seen.system_attrs == {name: {name: "NULL"} for name in names}
    assert seen.intermediate_values == {step: float(report) for step, report in enumerate(reports)}
    assert seen.values == [1 / 3, float("inf"), float("-inf"), 0.0]


def test_flushing_leaves_nothing_behind(worker: Open) -> None:
    storage, other = worker(), worker()
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    (claim,) = storage.claim(study_id, 1)
    storage.set_trial_user_attr(claim.trial_id, "k", [1])
    storage.flush()
    assert other.get_trial(claim.trial_id).user_attrs == {"k": [1]}


def test_snapshots_do_not_change_under_the_reader(worker: Open) -> None:
    storage = worker()
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    (claim,) = storage.claim(study_id, 1)
    before = storage.get_all_trials(study_id, deepcopy=False)
    storage.set_trial_intermediate_value(claim.trial_id, 0, 1.0)
    storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [1.0])
    assert before[0].intermediate_values == {}
    assert before[0].state is TrialState.RUNNING


def test_the_trials_that_a_person_gets_are_their_own_and_optunas(worker: Open) -> None:
    storage = worker()
    study = optuna.create_study(storage=storage)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    study.trials[0].params["x"] = -1.0
    study.trials[0].distributions["x"].high = -1.0  # type: ignore[attr-defined]
    told = study.tell(study.ask(fixed_distributions={"x": FloatDistribution(0, 1)}), 0.5)
    told.user_attrs["mine"], told.values = {}, [2.0]
    stored = storage.get_all_trials(study._study_id, deepcopy=False)
    assert [trial.params["x"] >= 0 for trial in stored] == [True] * 3
    assert study.trials[0].distributions == {"x": FloatDistribution(0, 1)}
    assert repr(stored[0]) == repr(study.trials[0])
    assert (stored[2].user_attrs, stored[2].values) == ({}, [0.5])
    for trial in (told, *study.trials, copy.copy(stored[0]), pickle.loads(pickle.dumps(stored[0]))):
        assert type(trial) is FrozenTrial
    assert pickle.loads(pickle.dumps(stored)) == stored == study.trials


def test_a_finished_trial_is_read_once(worker: Open) -> None:
    writer, reader = worker(), worker()
    study_id = writer.create_new_study([StudyDirection.MINIMIZE])
    for _ in range(3):
        (claim,) = writer.claim(study_id, 1)
        writer.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [0.0])
    first = reader.get_all_trials(study_id, deepcopy=False)
    (claim,) = writer.claim(study_id, 1)
    writer.set_trial_state_values(claim.trial_id, TrialState.PRUNED, [0.0])
    again = reader.get_all_trials(study_id, deepcopy=False)
    assert [t.number for t in again] == [0, 1, 2, 3]
    assert all(old is new for old, new in zip(first, again, strict=False))
    assert reader.finished_since(study_id, 3)[0] == again[3:]


def test_trials_of_other_workers_show_as_they_are(worker: Open) -> None:
    writer, reader = worker(), worker()
    study_id = writer.create_new_study([StudyDirection.MINIMIZE])
    (claim,) = writer.claim(study_id, 1)
    assert [t.state for t in reader.get_all_trials(study_id)] == [TrialState.RUNNING]
    writer.set_trial_intermediate_value(claim.trial_id, 0, 3.0)
    writer.flush()
    assert reader.open_now(study_id)[0].intermediate_values == {0: 3.0}
    assert reader.get_all_trials(study_id)[0].intermediate_values == {0: 3.0}
    writer.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [3.0])
    assert reader.get_all_trials(study_id, states=(TrialState.COMPLETE,))[0].value == 3.0
    assert reader.open_now(study_id) == []
    assert reader.get_best_trial(study_id).value == 3.0


def test_study_attributes_in_a_batch_are_written_with_it(worker: Open) -> None:
    storage = worker()
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    with storage.batch():
        storage.set_study_user_attr(study_id, "a", 1)
        storage.set_study_system_attr(study_id, "b", 2)
    other = worker()
    assert (other.get_study_user_attrs(study_id), other.get_study_system_attrs(study_id)) == ({"a": 1}, {"b": 2})


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_tell_waits_for_the_disk_and_a_report_does_not(worker: Open) -> None:
    storage = worker()
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    (claim,) = storage.claim(study_id, 1)

    def synchronous() -> int:
        return storage.database.read(lambda c: int(c.exec_driver_sql("PRAGMA synchronous").scalar_one()))

    storage.set_trial_intermediate_value(claim.trial_id, 0, 1.0)
    storage.write_behind()
    assert synchronous() == 1  # NORMAL: survives this process, not a power cut
    storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [1.0])
    assert synchronous() == 2  # FULL


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_report_is_committed_before_the_servers_disk_has_it(worker: Open) -> None:
    storage = worker()
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    (claim,) = storage.claim(study_id, 1)
    behind = "SELECT pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn()"

    def written_behind(step: int) -> bool:
        storage.set_trial_intermediate_value(claim.trial_id, step, 1.0)
        assert storage.write_behind()
        return storage.database.read(lambda c: bool(c.exec_driver_sql(behind).scalar_one()))

    assert any(written_behind(step) for step in range(20))  # unless the server's own thread was quicker
