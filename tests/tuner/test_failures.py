from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from tuner import attributes
from tuner.failures import hopeless

OURS = {"class": attributes.OBJECTIVE_ERROR, "reason": "ValueError: mine"}


def failed(noted: Any) -> optuna.trial.FrozenTrial:
    return create_trial(state=TrialState.FAIL, user_attrs={} if noted is None else {attributes.FAILURE: noted})


def test_a_study_whose_first_trials_fail_in_the_same_way_is_hopeless() -> None:
    assert hopeless([failed(OURS)] * 3) == OURS
    assert hopeless([failed(OURS)] * 2) is None
    assert hopeless([failed(OURS), failed(OURS), failed({**OURS, "reason": "another"})]) is None


@pytest.mark.parametrize("theirs", [None, "none", 3, {}, {"where": "disk"}, {"class": ["a"]}, {"class": "lost"}])
def test_what_an_objective_itself_calls_a_failure_is_none_of_ours(theirs: Any) -> None:
    assert hopeless([failed(theirs)] * 3) is None
