"""When a study has had enough: the target reached, or no better trial for long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from optuna.study import StudyDirection
from optuna.trial import TrialState

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from tuner.spec import Budget


def reason_to_stop(budget: Budget, trials: Sequence[FrozenTrial], direction: StudyDirection) -> str | None:
    """Return why the study should stop now, or ``None``. Of several metrics, the first decides.

    Trials count in the order of their numbers; a pruned or infeasible trial counts as one without a better value.
    """
    if budget.target is None and budget.patience is None:
        return None
    sign = 1 if direction == StudyDirection.MAXIMIZE else -1
    best: float | None = None
    since = 0
    for trial in trials:
        if not trial.state.is_finished():
            continue
        counts = trial.state == TrialState.COMPLETE and all(value <= 0 for value in trial.constraints.values())
        value = sign * trial.values[0] if counts else None
        if value is not None and (best is None or value > best):
            best, since = value, 0
        else:
            since += 1
    if budget.target is not None and best is not None and best >= sign * budget.target:
        return f"target {budget.target:g} reached"
    if budget.patience is not None and best is not None and since >= budget.patience:
        return f"no better trial for {budget.patience} trials"
    return None
