"""The worker of a plain function ``objective(trial)``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState

from storage import LeaseLostError, StorageError
from tuner import failures
from tuner.errors import ObjectiveError, SpecError
from tuner.function import is_wrong_count, problem
from tuner.search import strategies
from tuner.workers.time_limit import TimedOutError, time_limit
from tuner.workers.worker import Leaving, Worker

if TYPE_CHECKING:
    from storage import Claim, SQLStorage
    from tuner.function import LoadedFunction
    from tuner.space import Space
    from tuner.spec import StudySpec


class FunctionWorker(Worker):
    """Runs trials of a function as ``Study.optimize`` would; an interrupted one begins again under its number."""

    def __init__(
        self,
        storage: SQLStorage,
        study_id: int,
        spec: StudySpec,
        loaded: LoadedFunction,
        *,
        leaving: Leaving,
        space: Space | None = None,
    ) -> None:
        directions = storage.get_study_directions(study_id)
        strategy = strategies.resolve(spec.search, space, objectives=len(directions), epochs=None, where=spec.name)
        super().__init__(storage, study_id, spec, strategy, leaving)
        self.loaded = loaded
        self._in_their_code = False

    def advance(self) -> bool:
        claims = self.claim(1)
        for claim in claims:
            with contextlib.suppress(LeaseLostError):  # another worker has it now
                self._run(claim)
                self._call_back(claim)
        return bool(claims)

    def put_down(self) -> None:
        """Nothing is held between two trials."""

    def stop_search(self) -> None:
        """End the whole study when the objective or a callback asks for it; a sampler only ends this worker."""
        if self._in_their_code:
            self.leaving.ask("the objective stopped it")
            self.storage.request_stop(self.study_id)
        else:
            super().stop_search()

    def _run(self, claim: Claim) -> None:
        trial = self.open_trial(claim)
        try:
            with time_limit(self.spec.training.trial_timeout):
                values, pruned = self._call(trial)
            self._constrain(trial, claim)
        except TimedOutError:
            self.tell_timed_out(trial, after="")
            return
        except (KeyboardInterrupt, SpecError):  # the latter is of the study's sampler, which no trial can use
            self.storage.release([claim.trial_id])
            raise
        except StorageError:  # a lost lease, a database that is away: not the objective's doing
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the person's code raises ends its trial only
            self.tell_failure(trial, error)
            return
        if pruned:
            self.study.tell(trial, state=TrialState.PRUNED)
            return
        wanted = len(self.study.directions)
        wrong = problem(values, wanted=wanted)
        if wrong is None:
            self.study.tell(trial, values)
            return
        self.tell_failure(trial, ValueError(wrong))
        if is_wrong_count(values, wanted=wanted) and not self._any_finished():  # then none is likely to end well
            raise ObjectiveError(f"{wrong}, and start it under another --name")

    def _any_finished(self) -> bool:
        return self.storage.get_n_trials(self.study_id, TrialState.COMPLETE) > 0

    def _call(self, trial: optuna.Trial) -> tuple[Any, bool]:
        """Return what the function returned, and whether it pruned its trial instead."""
        self._in_their_code = True
        try:
            return self.loaded.function(trial), False
        except optuna.TrialPruned:
            return None, True
        finally:
            self._in_their_code = False

    def _constrain(self, trial: optuna.Trial, claim: Claim) -> None:
        """Note how far the trial is from what it must keep to; every sampler of Optuna reads it there."""
        if self.loaded.constraints is None:
            return
        for index, value in enumerate(self.loaded.constraints(self.storage.get_trial(claim.trial_id))):
            trial.set_constraint(str(index), value)

    def _call_back(self, claim: Claim) -> None:
        if not self.loaded.callbacks:
            return
        trial = self.storage.get_trial(claim.trial_id)
        self._in_their_code = True
        try:
            for callback in self.loaded.callbacks:
                callback(self.study, trial)
        except StorageError:
            raise
        except Exception as error:
            failure = failures.describe(error)
            raise ObjectiveError(f"a callback failed: {failure['reason']}", traceback=failure["traceback"]) from error
        finally:
            self._in_their_code = False
