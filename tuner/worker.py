"""A worker: claims trials, has them trained epoch by epoch, tells what they scored, leaves when it should."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState

from storage import LeaseLostError
from tuner import attributes, failures, search, stopping
from tuner.assessment import assess, constant_loss, decoded_metrics
from tuner.checkpoints import Checkpoints, open_store
from tuner.errors import ObjectiveError, StudyConflictError
from tuner.loading import LoadedTrainable
from tuner.places import places
from tuner.preparation import FINGERPRINT, fingerprint
from tuner.pruning import at_scale
from tuner.running import BUDGET_SPENT
from tuner.training import Cohort, Member, Recipe
from tuner.training.randomness import derive

if TYPE_CHECKING:
    from storage import Checkpoint, Claim, SQLStorage
    from tuner.loading import Function
    from tuner.spec import StudySpec, Training
    from tuner.training import EpochResult

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
                self.ask("time is up")
            elif time.monotonic() - self._looked >= STOP_POLL_SECONDS:
                self._looked = time.monotonic()
                if self._storage.stop_requested(self._study_id):
                    self.ask("stopped")
        return self._why if self._asked.is_set() else None


@dataclass(kw_only=True)
class Running:
    """A trial in training."""

    claim: Claim
    trial: optuna.Trial
    member: Member
    scores: dict[int, list[float]] = field(default_factory=dict)
    """The optimised metrics after each epoch of this run."""


def make_study(storage: SQLStorage, study_id: int, spec: StudySpec, strategy: search.Strategy) -> optuna.Study:
    """Return Optuna's study with the sampler and pruner of ``spec``."""
    return optuna.load_study(
        study_name=storage.get_study_name_from_id(study_id),
        storage=storage,
        sampler=search.make_sampler(strategy, seed=spec.seed),
        pruner=at_scale(search.make_pruner(strategy)),
    )


def open_trial(
    storage: SQLStorage, study: optuna.Study, claim: Claim, seed: int, *, epoch: int | None = None
) -> optuna.Trial:
    """Return the claimed trial, with nothing reported after ``epoch`` (``None``: nothing at all).

    What the sampler draws for it depends on the study's seed and its number alone.
    """
    if claim.resumed:
        storage.rewind(claim.trial_id, epoch)
    search.reseed(study.sampler, derive(seed, "sampler", claim.number) % 2**32)
    return optuna.Trial(study, claim.trial_id)


def recipe(params: Mapping[str, Any], training: Training, *, seed: int) -> Recipe:
    """Return how a trial with ``params`` is trained; ``seed`` is the trial's own."""
    known = {item.name for item in fields(Recipe)}
    values = {name: value for name, value in params.items() if name in known}
    if values.get("optimizer") == "gradient_descent":
        values["batch_size"] = None
    if not values.get("momentum"):
        values["nesterov"] = False
    early = training.early_stopping
    return Recipe(
        **{"batch_size": None, **values},
        epochs=training.epochs,
        seed=seed,
        patience=early.patience or None,
        min_delta=early.min_delta,
        monitor=None if early.monitor == "metric" else early.monitor,
        penalise_biases=training.penalise_biases,
    )


class TrainableWorker:
    """Runs trials of a Trainable; the engine trains them epoch by epoch."""

    def __init__(
        self,
        storage: SQLStorage,
        study_id: int,
        spec: StudySpec,
        loaded: LoadedTrainable,
        *,
        device: str,
        leaving: Leaving,
        workers: int = 1,
    ) -> None:
        self.storage = storage
        self.study_id = study_id
        self.spec = spec
        self.trainable = loaded.trainable
        self.space = loaded.space
        self.leaving = leaving
        self.device = device
        dataset = loaded.trainable.load()
        self._check_fingerprint(fingerprint(dataset))
        self.dataset = dataset.to(device)
        self.metrics = decoded_metrics(loaded.trainable)
        strategy = search.resolve(
            spec.search, loaded.space, objectives=len(self.metrics), epochs=spec.training.epochs, where=spec.name
        )
        self.study = make_study(storage, study_id, spec, strategy)
        self.places = spec.training.cohort or places(
            self.space,
            lambda params: self._make(0, params),
            self.dataset.training,
            trials=spec.budget.trials,
            workers=workers,
        )
        self.running: dict[int, Running] = {}
        self.checkpoints = Checkpoints(open_store(storage, study_id, spec))
        self.cohort = Cohort(self.dataset, self.metrics, device=device)
        self._constant_loss: dict[Hashable, float] = {}

    def run(self) -> str:
        """Work until there is nothing left to do or a reason to leave; return that reason."""
        with self.storage.keep_alive():
            while True:
                reason = self.leaving.reason() or self._enough()
                if reason is not None:
                    self._checkpoint()
                    self._release()
                    return reason
                claimed = self._fill()
                if self.running:
                    self._advance()
                elif claimed:
                    continue
                elif self.storage.open_trials(self.study_id) == 0:
                    return BUDGET_SPENT
                else:
                    time.sleep(POLL_SECONDS)

    def _check_fingerprint(self, found: str) -> None:
        kept = self.storage.get_study_user_attrs(self.study_id).get(attributes.DATA, {}).get(FINGERPRINT)
        if kept is not None and kept != found:
            raise StudyConflictError(
                f"the data of study '{self.spec.name}' is not what it was when the study was created "
                f"(fingerprint {found}, not {kept}); start it under another --name"
            )

    def _enough(self) -> str | None:
        trials = self.study.get_trials(deepcopy=False) if self.spec.budget.target or self.spec.budget.patience else []
        return stopping.reason_to_stop(self.spec.budget, trials, self.study.directions[0]) if trials else None

    def _fill(self) -> int:
        """Claim as many trials as there are free places, let them join their cohorts; return how many were claimed."""
        free = self.places - len(self.running)
        claims = self.storage.claim(self.study_id, free) if free > 0 else []
        for claim in claims:
            checkpoint = self.checkpoints.load(claim.trial_id) if claim.resumed else None
            epoch = checkpoint.epoch if checkpoint is not None else None
            trial = open_trial(self.storage, self.study, claim, self.spec.seed, epoch=epoch)
            try:
                self._join(claim, trial, checkpoint)
            except Exception as error:  # noqa: BLE001 - whatever the objective's code raises ends its trial only
                self._tell_failure(claim, trial, error)
        return len(claims)

    def _join(self, claim: Claim, trial: optuna.Trial, checkpoint: Checkpoint | None) -> None:
        member = self._make(claim.number, self.space.suggest(trial))
        if checkpoint is not None:
            self.checkpoints.restore(member, checkpoint)
        self.cohort.join(member)
        self.running[claim.number] = Running(claim=claim, trial=trial, member=member)

    def _make(self, number: int, params: Mapping[str, Any]) -> Member:
        """Return the untrained member of a trial."""
        return Member.build(
            number=number,
            recipe=recipe(params, self.spec.training, seed=derive(self.spec.seed, "trial", number)),
            network=lambda: self.trainable.network(params),
            loss=self.trainable.loss(params),
        )

    def _advance(self) -> None:
        """Train the cohort one epoch, write what came of it, and let go who is done."""
        try:
            results = self.cohort.epoch()
        except Exception as error:  # noqa: BLE001 - see _fill
            self._blame(error)
            return
        self._drop_lost()
        ended = [result for result in results if result.number in self.running and self._ends(result)]
        if ended:
            told = {result.number: self.running.pop(result.number) for result in ended}
            with self.storage.batch():
                for result in ended:
                    self._tell(told[result.number], result)
            self.checkpoints.ended({running.claim.trial_id for running in told.values()})
        if self.checkpoints.due():
            self._checkpoint()

    def _drop_lost(self) -> None:
        """Let go of trials whose lease is gone: another worker continues them."""
        lost = self.storage.lost()
        for number, running in list(self.running.items()):
            if running.claim.trial_id in lost:
                self.cohort.leave(running.member)
                del self.running[number]

    def _checkpoint(self) -> None:
        self.checkpoints.save({running.claim.trial_id: running.member for running in self.running.values()})

    def _blame(self, error: Exception) -> None:
        """Fail the trial that raised; of several, nobody knows which did: they begin again in a smaller cohort."""
        if len(self.running) > 1:
            self.places = len(self.running) // 2 if failures.is_out_of_memory(error) else 1
            self._release()
            return
        (running,) = self.running.values()
        self.cohort.leave(running.member)
        self.running.clear()
        self._tell_failure(running.claim, running.trial, error)

    def _ends(self, result: EpochResult) -> bool:
        try:
            return self._note(result)
        except LeaseLostError:
            self._drop_lost()
            return False

    def _note(self, result: EpochResult) -> bool:
        """Write what an epoch came to; return whether the trial has ended by it."""
        running = self.running[result.number]
        optimised = [result.metrics[metric.name] for metric in self.metrics]
        running.scores[result.epoch] = optimised
        scores = {
            "training_loss": result.training_loss,
            "validation_loss": result.validation_loss,
            "learning_rate": result.learning_rate,
            **result.metrics,
            "seconds": result.seconds,
        }
        self.storage.record_epoch(running.claim.trial_id, result.epoch, scores)
        if len(self.metrics) == 1:
            running.trial.report(optimised[0], result.epoch)
        if result.diverged or result.stopped or result.finished:
            return True
        if len(self.metrics) == 1 and running.trial.should_prune():
            self.cohort.leave(running.member)
            return True
        return False

    def _tell(self, running: Running, result: EpochResult) -> None:
        """Tell how a trial ended, unless its lease is gone: then another worker will."""
        with contextlib.suppress(LeaseLostError):
            self._tell_held(running, result)

    def _tell_held(self, running: Running, result: EpochResult) -> None:
        """Tell how a trial ended. One that diverged is told as pruned, so that the sampler learns to avoid it."""
        running.trial.set_user_attr(attributes.EPOCHS, result.epoch)
        if result.diverged:
            reason = f"loss or weights are not finite after epoch {result.epoch}"
            running.trial.set_user_attr(attributes.FAILURE, {"class": attributes.DIVERGED, "reason": reason})
            self.study.tell(running.trial, state=TrialState.PRUNED)
            return
        self._note_worth(running, result)
        if result.stopped or result.finished:
            self.study.tell(running.trial, self._values_at(running, result.best_epoch or result.epoch))
        else:
            self.study.tell(running.trial, state=TrialState.PRUNED)

    def _values_at(self, running: Running, epoch: int) -> list[float]:
        if epoch in running.scores:
            return running.scores[epoch]
        recorded = dict(self.storage.epochs(running.claim.trial_id))
        return [recorded[epoch][metric.name] for metric in self.metrics]

    def _note_worth(self, running: Running, result: EpochResult) -> None:
        loss = running.member.loss
        if loss not in self._constant_loss:
            self._constant_loss[loss] = constant_loss(loss, self.dataset, self._outputs(running.member))
        noted = assess(running.member.module, self.trainable, self.dataset, loss, self._constant_loss[loss])
        noted[attributes.BEST_EPOCH] = result.best_epoch or result.epoch
        noted[attributes.STOPPED_EARLY] = result.stopped
        for key, value in noted.items():
            running.trial.set_user_attr(key, value)

    def _outputs(self, member: Member) -> int:
        from tuner.training.network import predict

        one = tuple(tensor[:1] for tensor in self.dataset.validation.inputs)
        return predict(member.module, one).shape[-1]

    def _tell_failure(self, claim: Claim, trial: optuna.Trial, error: Exception) -> None:
        failure = failures.describe(error)
        trial.set_user_attr(attributes.FAILURE, failure)
        out_of_memory = failure["class"] == attributes.OUT_OF_MEMORY
        self.study.tell(trial, state=TrialState.PRUNED if out_of_memory else TrialState.FAIL)
        raise_if_hopeless(self.study)

    def _release(self) -> None:
        """Give all trials back; whoever claims them continues from their last checkpoint."""
        trial_ids = [running.claim.trial_id for running in self.running.values()]
        for running in self.running.values():
            self.cohort.leave(running.member)
        self.running.clear()
        self.storage.release(trial_ids)


def raise_if_hopeless(study: optuna.Study) -> None:
    """Stop the study whose first trials all fail by the same error of the objective.

    Raises:
        ObjectiveError: with that error; its cause carries the person's traceback.
    """
    failure = failures.hopeless(study.get_trials(deepcopy=False))
    if failure is not None:
        message = f"the objective failed in the same way in every trial so far: {failure['reason']}"
        raise ObjectiveError(message, traceback=failure["traceback"])


class FunctionWorker:
    """Runs trials of a plain function ``objective(trial)``, as ``Study.optimize`` would."""

    def __init__(
        self, storage: SQLStorage, study_id: int, spec: StudySpec, function: Function, *, leaving: Leaving
    ) -> None:
        self.storage = storage
        self.study_id = study_id
        self.spec = spec
        self.function = function
        self.leaving = leaving
        directions = storage.get_study_directions(study_id)
        strategy = search.resolve(spec.search, None, objectives=len(directions), epochs=None, where=spec.name)
        self.study = make_study(storage, study_id, spec, strategy)

    def run(self) -> str:
        """Work until there is nothing left to do or a reason to leave; return that reason."""
        with self.storage.keep_alive():
            while True:
                reason = self.leaving.reason() or self._enough()
                if reason is not None:
                    return reason
                claims = self.storage.claim(self.study_id, 1)
                if claims:
                    with contextlib.suppress(LeaseLostError):  # another worker has it now
                        self._run_one(claims[0])
                elif self.storage.open_trials(self.study_id) == 0:
                    return BUDGET_SPENT
                else:
                    time.sleep(POLL_SECONDS)

    def _enough(self) -> str | None:
        trials = self.study.get_trials(deepcopy=False) if self.spec.budget.target or self.spec.budget.patience else []
        return stopping.reason_to_stop(self.spec.budget, trials, self.study.directions[0]) if trials else None

    def _run_one(self, claim: Claim) -> None:
        trial = open_trial(self.storage, self.study, claim, self.spec.seed)
        try:
            values = self.function(trial)
        except optuna.TrialPruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        except KeyboardInterrupt:
            self.storage.release([claim.trial_id])
            raise
        except Exception as error:  # noqa: BLE001 - whatever the person's code raises ends its trial only
            trial.set_user_attr(attributes.FAILURE, failures.describe(error))
            self.study.tell(trial, state=TrialState.FAIL)
            raise_if_hopeless(self.study)
        else:
            self.study.tell(trial, values)
