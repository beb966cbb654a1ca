"""Studies as the reading commands meet them, written without any training."""

from __future__ import annotations

import math
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

import storage
from tuner import attributes
from tuner.study import DEFAULT_STORAGE

DISTRIBUTIONS = {
    "learning_rate": FloatDistribution(1e-5, 1.0, log=True),
    "optimizer": CategoricalDistribution(("sgd", "adam")),
}
TRACEBACK = 'Traceback (most recent call last):\n  File "mine.py", line 3, in network\nValueError: \x1b[31mboom\n'


def write(name: str = "churn", *, url: str = DEFAULT_STORAGE, budget: int | None = 10) -> None:
    """Write a study with four finished trials (the best is number 1), one pruned, one diverged and one failed."""
    opened = storage.open_storage(url)
    optuna.create_study(study_name=name, storage=opened, direction="maximize")
    study_id = opened.get_study_id_from_name(name)
    opened.set_study_system_attr(study_id, attributes.METRIC_NAMES, ["accuracy"])
    opened.set_budget(study_id, budget)
    for accuracy in [0.75, 0.9375, 0.5, 0.875]:
        _write_trial(opened, study_id, TrialState.COMPLETE, accuracy, _noted(accuracy))
    _write_trial(opened, study_id, TrialState.PRUNED, None, {attributes.EPOCHS: 3})
    diverged = {"class": attributes.DIVERGED, "reason": "loss or weights are not finite after epoch 2"}
    _write_trial(opened, study_id, TrialState.PRUNED, None, {attributes.FAILURE: diverged})
    failure = {"class": attributes.OBJECTIVE_ERROR, "reason": "ValueError: \x1b[31mboom", "traceback": TRACEBACK}
    _write_trial(opened, study_id, TrialState.FAIL, None, {attributes.FAILURE: failure})
    opened.flush()
    opened.close()


def write_two_metrics(name: str = "front", *, url: str = DEFAULT_STORAGE) -> None:
    """Write a study of two metrics, two of whose three trials are on the front."""
    opened = storage.open_storage(url)
    study = optuna.create_study(study_name=name, storage=opened, directions=["maximize", "minimize"])
    for values in ([0.9, 50.0], [0.8, 20.0], [0.7, 60.0]):
        study.add_trial(create_trial(state=TrialState.COMPLETE, values=values))
    opened.flush()
    opened.close()


def _write_trial(
    opened: storage.SQLStorage, study_id: int, state: TrialState, value: float | None, noted: dict[str, Any]
) -> None:
    (claim,) = opened.claim(study_id, 1)
    trial_id, number = claim.trial_id, claim.number
    with opened.batch():
        opened.set_trial_param(trial_id, "learning_rate", 10.0 ** -(number % 4 + 1), DISTRIBUTIONS["learning_rate"])
        opened.set_trial_param(trial_id, "optimizer", float(number % 2), DISTRIBUTIONS["optimizer"])
        for key, noted_value in noted.items():
            opened.set_trial_user_attr(trial_id, key, noted_value)
        for epoch in range(1, 6):
            accuracy = math.nan if attributes.FAILURE in noted else (value or 0.25) - 0.125 / epoch
            scores = {"training_loss": 1 / epoch, "validation_loss": 1.2 / epoch, "accuracy": accuracy}
            opened.record_epoch(trial_id, epoch, scores)
            opened.set_trial_intermediate_value(trial_id, epoch, accuracy)
        opened.set_trial_state_values(trial_id, state, None if value is None else [value])


def _noted(accuracy: float) -> dict[str, Any]:
    return {
        attributes.BEST_EPOCH: 4,
        attributes.EPOCHS: 5,
        attributes.STOPPED_EARLY: True,
        attributes.GENERALISATION_GAP: 0.25,
        attributes.VERDICT: "overfits slightly",
        attributes.NETWORK_PARAMETERS: 12345,
        attributes.TRAINING: {"loss": 0.25, "accuracy": 1.0},
        attributes.VALIDATION: {"loss": 0.5, "accuracy": accuracy, "confusion_matrix": [[30, 2], [1, 31]]},
    }
