"""The worker of a Trainable: its trials are trained by the engine, epoch by epoch, in one cohort."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import optuna
from optuna.trial import TrialState

from storage import LeaseLostError, StorageError
from tuner import attributes, failures
from tuner.assessment import Constant, assess, best_constant, decoded_metrics
from tuner.checkpoints import Checkpoints, open_store
from tuner.loading import LoadedTrainable
from tuner.members import make_member, trial_seed
from tuner.models.warm_start import WarmStart
from tuner.preparation import check_data
from tuner.search import strategies
from tuner.training import Cohort
from tuner.workers.overtime import told_when_over
from tuner.workers.places import Places, places
from tuner.workers.worker import Leaving, Worker

if TYPE_CHECKING:
    from storage import Checkpoint, Claim, SQLStorage
    from tuner.spec import StudySpec
    from tuner.training import Dataset, EpochResult, Loss, Member

notes = logging.getLogger("tuner.notes")


@dataclass(kw_only=True)
class Running:
    """A trial in training."""

    claim: Claim
    trial: optuna.Trial
    member: Member
    scores: dict[int, list[float]] = field(default_factory=dict)
    """The optimised metrics after each epoch of this run."""
    seconds: float = 0.0
    """Training time of all its runs; of a cohort's, its share."""


class TrainableWorker(Worker):
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
        careful: bool = False,
    ) -> None:
        self.trainable = loaded.trainable
        self.space = loaded.space
        dataset = loaded.trainable.load()
        check_data(storage.get_study_user_attrs(study_id), spec.confirms or spec.name, dataset)
        self.dataset = dataset
        self.metrics = decoded_metrics(loaded.trainable)
        strategy = strategies.resolve(
            spec.search, loaded.space, objectives=len(self.metrics), epochs=spec.training.epochs, where=spec.name
        )
        super().__init__(storage, study_id, spec, strategy, leaving)
        self.start = WarmStart.of(spec.model)
        self.cohort = Cohort(self.dataset, self.metrics, device=device)
        self.places = Places(spec.training.cohort or (1 if careful else self._likely_places(workers)))
        self.running: dict[int, Running] = {}
        self.checkpoints = Checkpoints(open_store(storage, study_id, spec))
        self._constants: WeakKeyDictionary[Dataset, dict[Loss, Constant]] = WeakKeyDictionary()

    def _likely_places(self, workers: int) -> int:
        return places(
            self.space,
            lambda params: self._make(0, params),
            self.dataset,
            trials=self.spec.budget.trials,
            workers=workers,
            device=self.cohort.device,
        )

    def advance(self) -> bool:
        claimed = self._fill()
        if self.running:
            self._train()
            return True
        return claimed > 0

    def put_down(self) -> None:
        self._checkpoint()
        self._release()

    def _fill(self) -> int:
        """Claim as many trials as there are free places, let them join their cohorts; return how many were claimed."""
        alone = any(failures.is_suspect(running.claim) for running in self.running.values())
        free = 0 if alone else self.places.now - len(self.running)
        claims = self.claim(free) if free > 0 else []
        if not all(claim.resumed for claim in claims):  # those that were interrupted come first
            self.places.all_clear()
        for claim in claims:
            with contextlib.suppress(LeaseLostError):  # another worker has it now
                self._begin(claim)
        return len(claims)

    def _begin(self, claim: Claim) -> None:
        checkpoint = self.checkpoints.load(claim.trial_id) if claim.resumed else None
        epoch = checkpoint.epoch if checkpoint is not None else None
        trial = self.open_trial(claim, epoch=epoch)
        try:
            self._join(claim, trial, checkpoint)
        except StorageError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - what the objective's code raises ends its trial
            self.tell_failure(trial, error)

    def _join(self, claim: Claim, trial: optuna.Trial, checkpoint: Checkpoint | None) -> None:
        member = self._make(claim.number, self.space.suggest(trial))
        if self.start is not None and not self.start.strict:
            trial.set_user_attr(attributes.WARM_START, self.start.fit(member.module).to_json())
        if checkpoint is not None:
            self.checkpoints.restore(member, checkpoint)
        self.cohort.join(member)
        before = self.storage.epochs(claim.trial_id) if checkpoint is not None else []
        seconds = sum(scores["seconds"] for _, scores in before)
        self.running[claim.number] = Running(claim=claim, trial=trial, member=member, seconds=seconds)

    def _make(self, number: int, params: Mapping[str, Any]) -> Member:
        """Return the untrained member of a trial."""
        seed = trial_seed(self.spec, number)
        return make_member(
            self.trainable, self.dataset, params, self.spec.training, number=number, seed=seed, start=self.start
        )

    def _train(self) -> None:
        """Train the cohort one epoch, write what came of it, and let go who is done."""
        spent = {number: running.seconds for number, running in self.running.items()}
        try:
            with told_when_over(self.spec.training.trial_timeout, spent):
                results = self.cohort.epoch()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - see _begin
            self._blame(error)
            return
        self._drop_lost()
        ended = [result for result in results if result.number in self.running and self._ends(result)]
        if ended:
            told = {result.number: self.running.pop(result.number) for result in ended}
            lasting = [told[result.number] for result in ended if result.stopped or result.finished]
            self.checkpoints.save_last({running.claim.trial_id: running.member for running in lasting})
            with self.storage.batch():
                for result in ended:
                    self._tell(told[result.number], result)
            self.checkpoints.ended({running.claim.trial_id for running in told.values()})
            if any(math.isnan(result.metrics[metric.name]) for result in ended for metric in self.metrics):
                self._give_up_if_hopeless()
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

    def _blame(self, error: BaseException) -> None:
        """Fail the trial that raised; of several, nobody knows which did: they begin again in a smaller cohort."""
        if failures.is_out_of_memory(error):
            self.places.out_of_memory(len(self.running))
            if len(self.running) > 1:
                notes.info("%d trials at once ran out of memory: %d go on", len(self.running), self.places.now)
        elif len(self.running) > 1:
            self.places.suspect()
        if len(self.running) > 1:
            self._release()
            return
        (running,) = self.running.values()
        self._let_go()
        self.tell_failure(running.trial, error)

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
        running.seconds += result.seconds
        if result.diverged or result.stopped or result.finished:
            return True
        if self._over_time(running):
            self.cohort.leave(running.member)
            return True
        if len(self.metrics) == 1 and running.trial.should_prune():
            self.cohort.leave(running.member)
            return True
        return False

    def _over_time(self, running: Running) -> bool:
        limit = self.spec.training.trial_timeout
        return limit is not None and running.seconds > limit

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
        try:
            self._note_worth(running, result)
        except StorageError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - what the trial reached counts, though not judged
            running.trial.set_user_attr(attributes.NOT_ASSESSED, f"{type(error).__name__}: {error}")
        values = self._values_at(running, result.best_epoch or result.epoch)
        if not (result.stopped or result.finished):
            if self._over_time(running):
                self.tell_timed_out(running.trial, after=f": {running.seconds:.3g} s after epoch {result.epoch}")
            else:
                self.study.tell(running.trial, state=TrialState.PRUNED)
        elif any(map(math.isnan, values)):
            undefined = [metric.name for metric, value in zip(self.metrics, values, strict=True) if math.isnan(value)]
            reason = f"{' and '.join(undefined)} cannot be told on the validation part: it is no number"
            running.trial.set_user_attr(attributes.FAILURE, {"class": attributes.OBJECTIVE_ERROR, "reason": reason})
            self.study.tell(running.trial, state=TrialState.FAIL)
        else:
            self.study.tell(running.trial, values)

    def _values_at(self, running: Running, epoch: int) -> list[float]:
        if epoch in running.scores:
            return running.scores[epoch]
        recorded = dict(self.storage.epochs(running.claim.trial_id))
        return [recorded[epoch][metric.name] for metric in self.metrics]

    def _note_worth(self, running: Running, result: EpochResult) -> None:
        member = running.member
        judged = dataset = self.cohort.data_of(member)
        if member.recipe.data_fraction < 1:
            judged = replace(dataset, training=self.cohort.learned_by(member))
        noted = assess(member.module, self.trainable, judged, member.loss, self._best_constant(member, judged))
        if result.stopped or result.finished:
            final = self.trainable.final_scores(member.module, dataset)
            noted |= {attributes.FINAL: final} if final else {}
        noted[attributes.BEST_EPOCH] = result.best_epoch or result.epoch
        noted[attributes.STOPPED_EARLY] = result.stopped
        for key, value in noted.items():
            running.trial.set_user_attr(key, value)

    def _best_constant(self, member: Member, dataset: Dataset) -> Constant:
        constants = self._constants.setdefault(dataset, {})
        if member.loss not in constants:
            shape = _output_shape(member, dataset)
            constants[member.loss] = best_constant(member.loss, dataset, self.metrics[0], shape)
        return constants[member.loss]

    def _release(self) -> None:
        """Give all trials back; whoever claims them continues from their last checkpoint."""
        trial_ids = [running.claim.trial_id for running in self.running.values()]
        self._let_go()
        self.storage.release(trial_ids)

    def _let_go(self) -> None:
        self.cohort.abandon()
        self.running.clear()


def _output_shape(member: Member, dataset: Dataset) -> tuple[int, ...]:
    """Return the shape of the network's outputs for one sample."""
    import torch

    from tuner.training.network import predict

    return tuple(predict(member.module, dataset.validation.gather(torch.tensor([0]))).shape[1:])
