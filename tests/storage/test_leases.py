"""A trial belongs to one worker at a time, and to nobody for ever."""

from __future__ import annotations

from collections.abc import Callable

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.trial import TrialState

import storage as st
from tests.storage.conftest import Clock

Open = Callable[[], st.SQLStorage]
X = FloatDistribution(0, 1)


def _study(storage: st.SQLStorage) -> int:
    return storage.create_new_study([StudyDirection.MINIMIZE])


def _states(storage: st.SQLStorage, study_id: int) -> list[TrialState]:
    return [trial.state for trial in storage.get_all_trials(study_id)]


def test_two_workers_never_hold_the_same_trial(worker: Open) -> None:
    first, second = worker(), worker()
    study_id = _study(first)
    claims = first.claim(study_id, 3) + second.claim(study_id, 3)
    assert sorted(claim.number for claim in claims) == [0, 1, 2, 3, 4, 5]
    assert not any(claim.resumed for claim in claims)


def test_an_expired_trial_is_taken_over_under_its_number(worker: Open, clock: Clock) -> None:
    first, second = worker(), worker()
    study_id = _study(first)
    (claim,) = first.claim(study_id, 1)
    first.set_trial_param(claim.trial_id, "x", 0.25, X)
    first.set_trial_intermediate_value(claim.trial_id, 0, 1.0)
    first.flush()
    assert [c.number for c in second.claim(study_id, 1)] == [1]
    clock.now += 61
    (taken, new) = second.claim(study_id, 2)  # its own trial 1 has expired too, but it is alive
    assert (taken.number, taken.resumed, new.number, new.resumed) == (0, True, 2, False)
    assert taken.token != claim.token
    assert second.get_trial(taken.trial_id).params == {"x": 0.25}
    assert second.get_trial(taken.trial_id).intermediate_values == {0: 1.0}


def test_a_late_worker_writes_nothing_to_the_trial_it_lost(worker: Open, clock: Clock) -> None:
    late, second = worker(), worker()
    study_id = _study(late)
    (claim,) = late.claim(study_id, 1)
    clock.now += 61
    second.claim(study_id, 1)
    late.set_trial_intermediate_value(claim.trial_id, 0, 7.0)
    late.set_trial_user_attr(claim.trial_id, "late", True)
    late.record_epoch(claim.trial_id, 0, {"training_loss": 7.0})
    with pytest.raises(st.LeaseLostError, match="nothing was written"):
        late.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [7.0])
    assert late.lost() == {claim.trial_id}
    with pytest.raises(st.LeaseLostError):
        late.set_trial_intermediate_value(claim.trial_id, 1, 7.0)
    with pytest.raises(st.LeaseLostError):
        late.record_epoch(claim.trial_id, 1, {"training_loss": 7.0})
    seen = worker().get_trial(claim.trial_id)
    assert (seen.state, seen.values, seen.intermediate_values, seen.user_attrs) == (TrialState.RUNNING, None, {}, {})
    assert second.epochs(claim.trial_id) == []


def test_one_lost_member_never_sinks_the_rest_of_a_batch(worker: Open, clock: Clock) -> None:
    late, second = worker(), worker()
    study_id = _study(late)
    lost, kept = late.claim(study_id, 2)
    clock.now += 40
    late.renew([kept.trial_id])
    clock.now += 40
    assert [c.number for c in second.claim(study_id, 1)] == [lost.number]
    with late.batch():
        for claim in (lost, kept):
            late.set_trial_intermediate_value(claim.trial_id, 3, 0.5)
            late.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [0.5])
    assert late.lost() == {lost.trial_id}
    fresh = worker()
    assert _states(fresh, study_id) == [TrialState.RUNNING, TrialState.COMPLETE]
    assert fresh.get_trial(kept.trial_id).intermediate_values == {3: 0.5}


def test_renewing_keeps_a_trial_and_tells_what_was_lost(worker: Open, clock: Clock) -> None:
    first, second = worker(), worker()
    study_id = _study(first)
    kept, lost = (claim.trial_id for claim in first.claim(study_id, 2))
    clock.now += 50
    assert first.renew([kept]) == {kept}
    clock.now += 50
    assert [claim.trial_id for claim in second.claim(study_id, 1)] == [lost]
    assert first.renew([kept, lost]) == {kept}
    assert first.lost() == {lost}


def test_an_expired_lease_that_nobody_wanted_can_be_renewed(worker: Open, clock: Clock) -> None:
    first = worker()
    (claim,) = first.claim(_study(first), 1)
    clock.now += 1000
    assert first.renew([claim.trial_id]) == {claim.trial_id}


def test_a_released_trial_waits_with_its_parameters_and_is_claimed_first(worker: Open) -> None:
    first, second = worker(), worker()
    study_id = _study(first)
    (claim,) = first.claim(study_id, 1)
    first.set_trial_param(claim.trial_id, "x", 0.5, X)
    first.release([claim.trial_id])
    assert first.held() == set()
    assert _states(second, study_id) == [TrialState.WAITING]
    again = second.claim(study_id, 2)
    assert [(c.number, c.resumed) for c in again] == [(0, True), (1, False)]
    assert second.get_trial(again[0].trial_id).params == {"x": 0.5}
    with pytest.raises(st.LeaseLostError):
        first.set_trial_user_attr(claim.trial_id, "k", 1)
    assert first.lost() == set()


def test_an_expired_trial_is_no_running_zombie_once_anybody_asks(worker: Open, clock: Clock) -> None:
    dead, second = worker(), worker()
    study_id = _study(dead)
    dead.claim(study_id, 2)
    clock.now += 61
    second.get_all_trials(study_id, states=(TrialState.WAITING,))
    assert second.get_all_trials(study_id, states=(TrialState.RUNNING,)) == []
    assert len(worker().get_all_trials(study_id, states=(TrialState.WAITING,))) == 2


def test_an_enqueued_trial_is_claimed_before_new_ones_and_is_not_resumed(worker: Open) -> None:
    first = worker()
    study = optuna.create_study(storage=first)
    study.enqueue_trial({"x": 0.75})
    claims = first.claim(study._study_id, 2)
    assert [(c.number, c.resumed) for c in claims] == [(0, False), (1, False)]
    assert optuna.Trial(study, claims[0].trial_id).suggest_float("x", 0, 1) == 0.75


def test_optunas_own_ask_continues_an_expired_trial_from_nothing(worker: Open, clock: Clock) -> None:
    dead, second = worker(), worker()
    study = optuna.create_study(storage=dead, study_name="plain")
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.report(1.0, 0)
    dead.flush()
    clock.now += 61
    other = optuna.load_study(storage=second, study_name="plain")
    other.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=1)
    (done,) = other.trials
    assert (done.number, done.state, done.intermediate_values) == (0, TrialState.COMPLETE, {})
    assert done.params == trial.params


def test_unregistering_a_dead_worker_frees_its_trials_at_once(worker: Open) -> None:
    dead, second = worker(), worker()
    study_id = _study(dead)
    dead_id = dead.register_worker(study_id, name="dead")
    second.register_worker(study_id, name="living")
    dead.claim(study_id, 2)
    assert [(w.name, w.trials) for w in second.list_workers(study_id)] == [("dead", 2), ("living", 0)]
    assert second.open_trials(study_id) == 2
    second.unregister_worker(dead_id)
    assert [w.name for w in second.list_workers(study_id)] == ["living"]
    assert second.open_trials(study_id) == 0
    assert [claim.number for claim in second.claim(study_id, 2)] == [0, 1]


def test_what_is_unfinished_is_what_another_worker_may_come_to_get(worker: Open, clock: Clock) -> None:
    first, second = worker(), worker()
    plain = optuna.create_study(storage=first)
    study_id = plain._study_id
    first.set_budget(study_id, 3)
    assert second.unfinished(study_id) == 0, "the budget is not begun"
    held = first.claim(study_id, 3)
    plain.enqueue_trial({"x": 0.5})  # beyond the budget
    assert second.unfinished(study_id) == 3
    first.release([held[0].trial_id])
    assert second.unfinished(study_id) == 3, "one waits"
    first.set_trial_state_values(held[1].trial_id, TrialState.COMPLETE, [1.0])
    assert second.unfinished(study_id) == 2
    clock.now += 61
    assert second.unfinished(study_id) == 2, "a lease that has run out is taken over by the next claim"
    assert len(second.claim(study_id, 3)) == 2
    second.set_budget(study_id, None)
    assert second.unfinished(study_id) == 3, "what is enqueued counts where there is no budget"


def test_workers_that_died_with_a_trial_are_counted_until_its_next_checkpoint(worker: Open) -> None:
    second = worker()
    study_id = _study(second)
    for losses in range(3):
        dead = worker()
        dead_id = dead.register_worker(study_id, name="dead")
        (claim,) = dead.claim(study_id, 1)
        assert (claim.number, claim.losses) == (0, losses)
        assert claim.lost_by == ("was killed" if losses else "")
        second.unregister_worker(dead_id, died="was killed")
    (claim,) = second.claim(study_id, 1)
    second.record_checkpoint(st.CheckpointRecord(trial_id=claim.trial_id, epoch=1, uri="x", bytes=1, sha256=""))
    second.release([claim.trial_id])
    assert [claim.losses for claim in second.claim(study_id, 1)] == [0]


def test_workers_that_vanish_with_a_trial_are_counted_apart_until_its_next_checkpoint(
    worker: Open, clock: Clock
) -> None:
    study_id = _study(worker())
    for vanished in range(3):
        (claim,) = worker().claim(study_id, 1)
        assert (claim.number, claim.losses, claim.vanished) == (0, 0, vanished)
        clock.now += 61
    last = worker()
    (claim,) = last.claim(study_id, 1)
    last.record_checkpoint(st.CheckpointRecord(trial_id=claim.trial_id, epoch=1, uri="x", bytes=1, sha256=""))
    last.release([claim.trial_id])
    assert [claim.vanished for claim in worker().claim(study_id, 1)] == [0]


def test_a_worker_that_was_not_seen_to_die_does_not_count(worker: Open, clock: Clock) -> None:
    silent, gone, second = worker(), worker(), worker()
    study_id = _study(second)
    silent.claim(study_id, 1)
    clock.now += 61
    gone_id = gone.register_worker(study_id, name="gone")
    gone.claim(study_id, 1)
    second.unregister_worker(gone_id)
    (claim,) = second.claim(study_id, 1)
    assert (claim.number, claim.resumed, claim.losses) == (0, True, 0)


def test_a_silent_worker_is_not_listed(worker: Open, clock: Clock) -> None:
    first = worker()
    study_id = _study(first)
    first.register_worker(study_id, name="silent")
    clock.now += 61
    assert worker().list_workers(study_id) == []


def test_rewinding_forgets_what_came_after_the_checkpoint(worker: Open) -> None:
    first, second = worker(), worker()
    study_id = _study(first)
    (claim,) = first.claim(study_id, 1)
    for epoch in range(4):
        first.set_trial_intermediate_value(claim.trial_id, epoch, float(epoch))
        first.record_epoch(claim.trial_id, epoch, {"training_loss": float(epoch)})
    first.release([claim.trial_id])
    second.claim(study_id, 1)
    second.rewind(claim.trial_id, 1)
    assert second.get_trial(claim.trial_id).intermediate_values == {0: 0.0, 1: 1.0}
    assert worker().get_trial(claim.trial_id).intermediate_values == {0: 0.0, 1: 1.0}
    assert [epoch for epoch, _ in second.epochs(claim.trial_id)] == [0, 1]


def test_a_late_worker_cannot_rewind_what_its_heir_reported(worker: Open, clock: Clock) -> None:
    late, heir = worker(), worker()
    study_id = _study(late)
    (claim,) = late.claim(study_id, 1)
    clock.now += 61
    heir.claim(study_id, 1)
    heir.set_trial_intermediate_value(claim.trial_id, 0, 1.0)
    heir.flush()
    with pytest.raises(st.LeaseLostError):
        late.rewind(claim.trial_id, None)
    assert worker().get_trial(claim.trial_id).intermediate_values == {0: 1.0}


def test_a_trial_of_a_deleted_study_is_lost(worker: Open) -> None:
    first, second = worker(), worker()
    study_id = _study(first)
    (claim,) = first.claim(study_id, 1)
    second.delete_study(study_id)
    renewed = _study(second)
    second.claim(renewed, 1)  # SQLite gives it the same row ids
    first.set_trial_intermediate_value(claim.trial_id, 0, 1.0)
    with pytest.raises(st.LeaseLostError):
        first.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [0.0])
    assert all(trial.intermediate_values == {} for trial in second.get_all_trials(renewed))


def test_a_trial_that_plain_optuna_finished_is_lost(worker: Open) -> None:
    first, other = worker(), worker()
    study_id = _study(first)
    (claim,) = first.claim(study_id, 1)
    first.flush()
    other.set_trial_state_values(claim.trial_id, TrialState.FAIL)  # not leased to it, as a dashboard would
    with pytest.raises((st.LeaseLostError, UpdateFinishedTrialError)):
        first.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [0.0])
    assert worker().get_trial(claim.trial_id).state is TrialState.FAIL


def test_heartbeats_renew_leases_in_the_background(url: str) -> None:
    storage = st.SQLStorage(url, lease=0.4)
    study_id = _study(storage)
    with storage.keep_alive():
        (claim,) = storage.claim(study_id, 1)
        first_expiry = _expiry(storage, claim.trial_id)
        while _expiry(storage, claim.trial_id) <= first_expiry:
            pass  # the test's time limit is the limit
    storage.release([claim.trial_id])
    storage.close()


def _expiry(storage: st.SQLStorage, trial_id: int) -> float:
    from storage.schema import tuner_leases

    query = tuner_leases.select().where(tuner_leases.c.trial_id == trial_id)
    return float(storage.database.read(lambda c: c.execute(query).one()).expires)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_worker_of_a_deleted_study_does_not_work_on_the_one_that_got_its_id(worker: Open, url: str) -> None:
    storage, other = worker(), worker()
    old = storage.create_new_study([StudyDirection.MINIMIZE], "old")
    storage.study_key(old)
    storage.claim(old, 1)
    optuna.delete_study(study_name="old", storage=url)
    assert other.create_new_study([StudyDirection.MINIMIZE], "new") == old
    other.study_key(old)
    with pytest.raises(KeyError, match="the study was deleted"):
        storage.claim(old, 1)
    assert [claim.number for claim in other.claim(old, 1)] == [0]
