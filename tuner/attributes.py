"""Under which keys the tuner keeps what it knows about a study and a trial in Optuna's own attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from tuner.spec import StudySpec

METRIC_NAMES = "study:metric_names"
"""Optuna's own key of a study's metric names (a system attribute)."""

SPEC = "tuner:spec"
"""Study: the spec it was started with, its space written out in full."""
DATA = "tuner:data"
"""Study: what the objective found in the data, with a fingerprint of it."""
STOPPED = "tuner:stopped"
"""Study: why the last run ended."""
CONFIRMATION = "tuner:confirmation"
"""Study: what training its best trials again has found; see :mod:`tuner.confirmation`."""

FAILURE = "failure"
"""Trial: why it failed, as ``{"class": …, "reason": …, "traceback": …}``."""
DIVERGED = "diverged"
OUT_OF_MEMORY = "out_of_memory"
OBJECTIVE_ERROR = "objective_error"
TIMED_OUT = "timed_out"
LOST = "lost"
"""It took its worker with it, again and again."""
FAILURE_CLASSES = (DIVERGED, OUT_OF_MEMORY, TIMED_OUT, OBJECTIVE_ERROR, LOST)

WARNINGS = "warnings"
"""Trial: what a model said when it was fitted, one line each."""
NOT_ASSESSED = "not_assessed"
"""Trial: why there are no scores of its restored weights."""
BEST_EPOCH = "best_epoch"
EPOCHS = "epochs"
STOPPED_EARLY = "stopped_early"
GENERALISATION_GAP = "generalisation_gap"
VERDICT = "verdict"
NETWORK_PARAMETERS = "network_parameters"
USUAL = "usual_configuration"
"""Trial: that its hyperparameters are the usual ones, where there are such; see ``Space.usual``."""
WARM_START = "warm_start"
"""Trial: which of the weights it began with were taken, where not all had to fit."""
TRAINING = "training"
"""Trial: loss and every metric on the training part, of the weights of the best epoch."""
VALIDATION = "validation"
"""Trial: the same on the validation part."""
FINAL = "final"
"""Trial: what the objective itself scored when the trial had finished; see ``Trainable.final_scores``."""


def failure(noted: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return why a trial failed, of its attributes; empty where it did not.

    What an objective, or plain Optuna, keeps under that name is no failure of ours.
    """
    found = noted.get(FAILURE)
    if not isinstance(found, dict) or not isinstance(found.get("reason"), str):
        return {}
    return found if found.get("class") in FAILURE_CLASSES else {}


def write_spec(storage: BaseStorage, study_id: int, spec: StudySpec) -> None:
    """Keep ``spec`` with the study."""
    storage.set_study_user_attr(study_id, SPEC, spec.model_dump(mode="json"))


def read_spec(storage: BaseStorage, study_id: int) -> StudySpec | None:
    """Return the spec kept with the study, or ``None`` for a study that something else created."""
    written: dict[str, Any] | None = storage.get_study_user_attrs(study_id).get(SPEC)
    return None if written is None else stored_spec(written, storage.get_study_name_from_id(study_id))


def stored_spec(written: Mapping[str, Any], name: str) -> StudySpec:
    """Return the spec that is kept with the study ``name``: a copy that Optuna made of it keeps the first one's."""
    from tuner.spec import parse_spec

    return parse_spec({**written, "name": name}, where="the stored study")


def searched(storage: BaseStorage, study_id: int) -> list[str]:
    """Return the hyperparameters that the spec kept with a study searches, whether a trial had them yet or not.

    They are read as they are stored: to check the whole spec takes longer than most answers.
    """
    space = storage.get_study_user_attrs(study_id).get(SPEC, {}).get("space", {})
    return [
        name
        for name, kept in space.items()
        if isinstance(kept, list) or (isinstance(kept, dict) and "value" not in kept)
    ]
