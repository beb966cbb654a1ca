"""The worker of a plain function ``objective(trial)``."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState

from storage import LeaseLostError, StorageError
from tuner import search
from tuner.time_limit import TimedOutError, time_limit
from tuner.worker import Leaving, Worker

if TYPE_CHECKING:
    from storage import Claim, SQLStorage
    from tuner.loading import Function
    from tuner.spec import StudySpec


class FunctionWorker(Worker):
    """Runs trials of a function as ``Study.optimize`` would; an interrupted one begins again under its number."""

    def __init__(
        self, storage: SQLStorage, study_id: int, spec: StudySpec, function: Function, *, leaving: Leaving
    ) -> None:
        directions = storage.get_study_directions(study_id)
        strategy = search.resolve(spec.search, None, objectives=len(directions), epochs=None, where=spec.name)
        super().__init__(storage, study_id, spec, strategy, leaving)
        self.function = function

    def advance(self) -> bool:
        claims = self.claim(1)
        for claim in claims:
            with contextlib.suppress(LeaseLostError):  # another worker has it now
                self._run(claim)
        return bool(claims)

    def put_down(self) -> None:
        """Nothing is held between two trials."""

    def _run(self, claim: Claim) -> None:
        trial = self.open_trial(claim)
        try:
            with time_limit(self.spec.training.trial_timeout):
                values = self.function(trial)
        except TimedOutError:
            self.tell_timed_out(trial, after="")
        except optuna.TrialPruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        except KeyboardInterrupt:
            self.storage.release([claim.trial_id])
            raise
        except StorageError:  # a lost lease, a database that is away: not the objective's doing
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the person's code raises ends its trial only
            self.tell_failure(trial, error)
        else:
            problem = self._problem(values)
            if problem:
                self.tell_failure(trial, ValueError(problem))
            else:
                self.study.tell(trial, values)

    def _problem(self, values: Any) -> str | None:
        """Return what is wrong with what the objective returned."""
        several = list(values) if isinstance(values, Sequence) and not isinstance(values, str) else [values]
        wanted = len(self.study.directions)
        if len(several) != wanted:
            return f"the objective returned {len(several)} values, but the study has {wanted} directions"
        for value in several:
            try:
                number = float(value)
            except (TypeError, ValueError):
                return f"the objective returned {value!r}, which is no number"
            if math.isnan(number):
                return "the objective returned NaN"
        return None
