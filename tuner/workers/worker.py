"""A worker: claims trials, works on them, tells what they scored, leaves when it should."""

from __future__ import annotations

import contextlib
import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import optuna
from optuna.trial import TrialState

from storage import LeaseLostError, StorageUnreachableError
from tuner import attributes, failures
from tuner.errors import ObjectiveError, TunerError
from tuner.search import stopping, strategies
from tuner.search.pruning import at_scale
from tuner.training.randomness import derive
from tuner.workers.departure import BUDGET_SPENT, STOPPED, TIME_IS_UP
from tuner.workers.running import LAST_WORDS_SECONDS

if TYPE_CHECKING:
    from storage import Claim, SQLStorage
    from tuner.spec import StudySpec

POLL_SECONDS = 0.2
"""How often a worker without work looks whether another one has died and left some."""
STOP_POLL_SECONDS = 1.0
"""How often the storage is asked whether somebody wants the study stopped."""


class Leaving:
    """Whether this worker should leave now, and why."""

    def __init__(self, storage: SQLStorage, study_id: int, deadline: float | None) -> None:
        self._storage = storage
        self._study_id = study_id
        self._deadline = deadline
        self._asked = threading.Event()
        self._why = ""
        self._looked = 0.0

    def ask(self, why: str) -> None:
        """Ask the worker to leave; safe to call from a signal handler or another thread."""
        self._why = self._why or why
        self._asked.set()

    def reason(self) -> str | None:
        """Return why the worker should leave, or ``None``."""
        if not self._asked.is_set():
            if self._deadline is not None and time.time() >= self._deadline:
                self.ask(TIME_IS_UP)
            elif time.monotonic() - self._looked >= STOP_POLL_SECONDS:
                self._looked = time.monotonic()
                if self._storage.stop_requested(self._study_id):
                    self.ask(STOPPED)
        return self._why if self._asked.is_set() else None


class Worker(ABC):
    """Works on the trials of one study until there is nothing left to do or a reason to leave."""

    def __init__(
        self, storage: SQLStorage, study_id: int, spec: StudySpec, strategy: strategies.Strategy, leaving: Leaving
    ) -> None:
        self.storage = storage
        self.study_id = study_id
        self.spec = spec
        self.leaving = leaving
        self._first_is_usual = strategy.usual and bool(strategy.first)
        self.study = optuna.load_study(
            study_name=spec.name,
            storage=storage,
            sampler=strategies.make_sampler(strategy, seed=spec.seed),
            pruner=at_scale(strategies.make_pruner(strategy)),
        )
        # A grid that is exhausted stops its study; Optuna's own stop() serves its own loop only.
        self.study.stop = self.stop_search  # type: ignore[method-assign]

    def run(self) -> str:
        """Work; return why it ended, in a few words.

        Raises:
            StorageUnreachableError: when the database stays away for longer than workers wait for it.
        """
        with self.storage.keep_alive():
            try:
                return self._work()
            except StorageUnreachableError:
                self.storage.database.patience = LAST_WORDS_SECONDS
                raise

    def _work(self) -> str:
        while True:
            reason = self.leaving.reason() or self._enough()
            if reason is not None:
                self.put_down()
                return reason
            if self.advance():
                continue
            if not self.storage.unfinished(self.study_id):
                return STOPPED if self.storage.stop_requested(self.study_id) else BUDGET_SPENT
            time.sleep(POLL_SECONDS)

    def stop_search(self) -> None:
        """What ``study.stop()`` does: a sampler calls it that has no combination left."""
        self.leaving.ask("every combination tried")

    @abstractmethod
    def advance(self) -> bool:
        """Claim what there is room for and work on it for a while; return whether there was anything to do."""

    @abstractmethod
    def put_down(self) -> None:
        """Give back all that is held, in a state from which it can be continued."""

    def claim(self, free: int) -> list[Claim]:
        """Claim trials for so many free places and return those to work on.

        One that has cost too many workers is told as failed instead. One that may be about to is returned alone.

        Raises:
            ObjectiveError: when the study's first trials all cost their workers.
        """
        claims = self.storage.claim(self.study_id, free)
        while lost := [claim for claim in claims if failures.is_lost(claim)]:
            for claim in lost:
                self._tell_lost(claim)
            claims = [claim for claim in claims if claim not in lost] or self.storage.claim(self.study_id, free)
        suspect = next((claim for claim in claims if failures.is_suspect(claim)), None)
        if suspect is None:
            return claims
        self.put_down()
        self.storage.release([claim.trial_id for claim in claims if claim is not suspect])
        return [suspect]

    def _tell_lost(self, claim: Claim) -> None:
        with contextlib.suppress(LeaseLostError), self.storage.batch():
            self.storage.set_trial_user_attr(claim.trial_id, attributes.FAILURE, failures.describe_loss(claim))
            self.study.tell(claim.number, state=TrialState.FAIL)
        self._give_up_if_hopeless()

    def open_trial(self, claim: Claim, *, epoch: int | None = None) -> optuna.Trial:
        """Return the claimed trial, with nothing reported after ``epoch`` (``None``: nothing at all).

        What the sampler draws for it depends on the study's seed and its number alone.
        """
        if claim.resumed:
            self.storage.rewind(claim.trial_id, epoch)
        strategies.reseed(self.study.sampler, derive(self.spec.seed, "sampler", claim.number) % 2**32)
        trial = optuna.Trial(self.study, claim.trial_id)
        if self._first_is_usual and claim.number == 0 and not trial.params:
            trial.set_user_attr(attributes.USUAL, True)
        return trial

    def tell_failure(self, trial: optuna.Trial, error: BaseException) -> None:
        """Tell that a trial failed by ``error``. Out of memory is told as pruned: the sampler learns to avoid it.

        Raises:
            ObjectiveError: when the study's first trials all failed in this way.
        """
        # what we say of the objective needs no traceback: it would be ours
        failure = failures.describe(error.with_traceback(None) if isinstance(error, TunerError) else error)
        trial.set_user_attr(attributes.FAILURE, failure)
        out_of_memory = failure["class"] == attributes.OUT_OF_MEMORY
        self.study.tell(trial, state=TrialState.PRUNED if out_of_memory else TrialState.FAIL)
        self._give_up_if_hopeless()

    def tell_timed_out(self, trial: optuna.Trial, *, after: str) -> None:
        """Tell that a trial took longer than it may: as pruned, so that the sampler learns from what it reported."""
        reason = f"longer than trial_timeout = {self.spec.training.trial_timeout:g} s{after}"
        trial.set_user_attr(attributes.FAILURE, {"class": attributes.TIMED_OUT, "reason": reason})
        self.study.tell(trial, state=TrialState.PRUNED)

    def _give_up_if_hopeless(self) -> None:
        shared = failures.hopeless(self.study.get_trials(deepcopy=False))
        if shared is not None:
            message = f"the objective failed in the same way in every trial so far: {shared['reason']}"
            raise ObjectiveError(message, traceback=shared.get("traceback", ""))

    def _enough(self) -> str | None:
        budget = self.spec.budget
        if budget.target is None and budget.patience is None:
            return None
        return stopping.reason_to_stop(budget, self.study.get_trials(deepcopy=False), self.study.directions[0])
