"""A commit whose answer never came is not done twice, and what moved on meanwhile is left alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from optuna.exceptions import DuplicatedStudyError
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

import storage as st
from storage import engine, schema
from storage.direct import Command, Row
from tests.storage.conftest import Clock

Open = Callable[[], st.SQLStorage]


@contextmanager
def lost_answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the next commit happen and the connection break before its answer comes."""
    real, real_alone = engine._command, engine._alone
    broken: list[str] = []

    def break_once() -> None:
        if not broken:
            broken.append("broken")
            raise OperationalError(None, None, Exception("disk I/O error"))

    def command(connection: Connection, statement: str) -> object:
        answer = real(connection, statement)
        if statement == "COMMIT":
            break_once()
        return answer

    def alone(connection: Connection, command: Command) -> list[Row]:
        rows = real_alone(connection, command)
        break_once()
        return rows

    with monkeypatch.context() as patched:
        patched.setattr(engine, "_command", command)
        patched.setattr(engine, "_alone", alone)
        yield
    assert broken


def test_a_claim_whose_answer_was_lost_is_found_again(storage: st.SQLStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    storage.set_budget(study_id, 3)
    with lost_answer(monkeypatch):
        claims = storage.claim(study_id, 2)
    assert [claim.number for claim in claims] == [0, 1]
    assert [claim.number for claim in storage.claim(study_id, 2)] == [2]


def test_trials_added_are_added_once_though_the_answer_was_lost(
    storage: st.SQLStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    storage.set_budget(study_id, 3)
    with lost_answer(monkeypatch):
        storage.amend_study(study_id, lambda budget, _: st.Amended(user_attrs={"a": 1}, budget=(budget or 0) + 2))
    assert (storage.get_budget(study_id), storage.get_study_user_attrs(study_id)) == (5, {"a": 1})


def test_an_ask_whose_answer_was_lost_makes_one_trial(storage: st.SQLStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    with lost_answer(monkeypatch):
        trial_id = storage.create_new_trial(study_id)
    assert [trial._trial_id for trial in storage.get_all_trials(study_id)] == [trial_id]


def test_a_study_whose_answer_was_lost_is_there_once_and_whole(
    storage: st.SQLStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    minimize = [StudyDirection.MINIMIZE]
    with lost_answer(monkeypatch):
        study_id = storage.create_study("new", minimize, user_attrs={"spec": {"a": 1}}, system_attrs={"b": 2}, budget=7)
    assert [study.study_name for study in storage.get_all_studies()] == ["new"]
    assert storage.get_study_user_attrs(study_id) == {"spec": {"a": 1}}
    assert storage.get_study_system_attrs(study_id) == {"b": 2}
    assert storage.get_budget(study_id) == 7
    with pytest.raises(DuplicatedStudyError):
        storage.create_study("new", minimize, user_attrs={}, system_attrs={}, budget=None)


def test_a_tell_whose_answer_was_lost_counts_as_told(storage: st.SQLStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    (claim,) = storage.claim(study_id, 1)
    with lost_answer(monkeypatch):
        storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [1.0])
    assert storage.get_trial(claim.trial_id).values == [1.0]
    assert not storage.lost()


def test_one_lost_member_gets_nothing_and_the_others_everything(worker: Open, clock: Clock) -> None:
    late, other = worker(), worker()
    study_id = late.create_new_study([StudyDirection.MINIMIZE])
    claims = late.claim(study_id, 3)
    kept = [claim.trial_id for claim in claims[1:]]
    clock.now += 50
    late.renew(kept)
    clock.now += 20
    (taken,) = other.claim(study_id, 1)
    assert taken.trial_id == claims[0].trial_id
    with late.batch():
        for claim in claims:
            late.set_trial_user_attr(claim.trial_id, "from", "late")
            late.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [1.0])
    assert late.lost() == {taken.trial_id}
    fresh = {trial._trial_id: trial for trial in worker().get_all_trials(study_id)}
    assert fresh[taken.trial_id].state is TrialState.RUNNING
    assert fresh[taken.trial_id].user_attrs == {}
    assert all(fresh[trial_id].values == [1.0] for trial_id in kept)


def test_a_tell_that_waits_for_a_take_over_writes_nothing(storage: st.SQLStorage) -> None:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    (claim,) = storage.claim(study_id, 1)
    storage.set_trial_user_attr(claim.trial_id, "from", "late")
    caught: list[st.LeaseLostError] = []

    def tell() -> None:
        try:
            storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [1.0])
        except st.LeaseLostError as error:
            caught.append(error)

    late = threading.Thread(target=tell)
    heir = st.open_storage(storage.database.url.render_as_string(hide_password=False))

    def take_over(connection: Connection) -> None:
        leases = schema.tuner_leases
        connection.execute(leases.update().where(leases.c.trial_id == claim.trial_id).values(token=1))
        if not late.ident:
            late.start()
        late.join(timeout=0.3)
        assert late.is_alive()

    heir.database.write(take_over)
    late.join()
    assert len(caught) == 1
    trial = heir.get_trial(claim.trial_id)
    assert (trial.state, trial.values, trial.user_attrs) == (TrialState.RUNNING, None, {})
    heir.close()
