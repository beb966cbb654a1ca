"""Training and searching in this process, without a storage: what a scikit-learn estimator's ``fit`` does."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import optuna
import torch
from optuna.trial import TrialState

from tuner.assessment import decoded_metrics
from tuner.members import make_member
from tuner.search import strategies
from tuner.training import Cohort
from tuner.training.judging import judge
from tuner.training.network import predict
from tuner.training.randomness import derive

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tuner.space import Space
    from tuner.spec import Search, Training
    from tuner.trainable import Trainable
    from tuner.training import Dataset, Member
    from tuner.training.data import Feed


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A network with the weights of its best epoch."""

    module: nn.Module
    params: Mapping[str, Any]
    epochs: int
    score: float
    """The first metric on the validation part, at the best epoch; NaN where it is never defined."""
    loss: float
    """The larger of its losses on the training and the validation part; NaN where it was given up."""
    diverged: bool
    pruned: bool


def train(
    trainable: Trainable,
    dataset: Dataset,
    params: Mapping[str, Any],
    training: Training,
    *,
    number: int,
    seed: int,
    prune: Callable[[float, int], bool] | None = None,
) -> Trained:
    """Train one network; ``prune`` is asked after each epoch, with the score and the epoch, whether to give it up.

    The global random state is as it was afterwards.
    """
    with torch.random.fork_rng(devices=[]):
        member = make_member(trainable, dataset, params, training, number=number, seed=seed)
        metrics = decoded_metrics(trainable)[:1]
        cohort = Cohort(dataset, metrics)
        cohort.join(member)
        scores: dict[int, float] = {}
        while True:
            (result,) = cohort.epoch()
            scores[result.epoch] = result.metrics[metrics[0].name]
            if result.diverged or result.stopped or result.finished:
                break
            if prune is not None and prune(scores[result.epoch], result.epoch):
                cohort.leave(member)
                break
    return Trained(
        module=member.module,
        params=params,
        epochs=result.epoch,
        score=scores[result.best_epoch or result.epoch],
        loss=_larger_loss(member, dataset) if result.stopped or result.finished else math.nan,
        diverged=result.diverged,
        pruned=not (result.diverged or result.stopped or result.finished),
    )


def _larger_loss(member: Member, dataset: Dataset) -> float:
    def outputs(feeds: Sequence[Feed]) -> Tensor:
        return predict(member.module, feeds).unsqueeze(0)

    parts = (dataset.training, dataset.validation)
    return max(float(judge(outputs, part, member.loss, [])[0]) for part in parts)


def tune(
    trainable: Trainable,
    dataset: Dataset,
    space: Space,
    training: Training,
    strategy: Search,
    *,
    trials: int,
    timeout: float | None,
    seed: int,
) -> tuple[Trained | None, optuna.Study]:
    """Search ``space`` with so many trials; return the best network, ``None`` if none could be scored, and the study.

    Each trial is the one that a study in a storage would have under its number and this seed. One that raises fails,
    and the search goes on; where all have failed, the last error is raised. ``timeout`` is in seconds.
    """
    direction = trainable.metrics()[0].direction
    resolved = strategies.resolve(strategy, space, objectives=1, epochs=training.epochs, where="search")
    sampler = strategies.make_sampler(resolved, seed=seed)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction=direction, sampler=sampler, pruner=strategies.make_pruner(resolved))
    finally:
        optuna.logging.set_verbosity(verbosity)
    best: Trained | None = None

    def objective(trial: optuna.Trial) -> float:
        def prune(score: float, epoch: int) -> bool:
            trial.report(score, epoch)
            return trial.should_prune()

        nonlocal best
        strategies.reseed(sampler, derive(seed, "sampler", trial.number) % 2**32)
        trained = train(
            trainable,
            dataset,
            space.suggest(trial),
            training,
            number=trial.number,
            seed=derive(seed, "trial", trial.number),
            prune=prune,
        )
        trial.set_user_attr("epochs", trained.epochs)
        if trained.pruned or trained.diverged or math.isnan(trained.score):
            raise optuna.TrialPruned
        sign = 1 if direction == "maximize" else -1
        if best is None or (sign * trained.score, -trained.loss) > (sign * best.score, -best.loss):
            best = trained
        return trained.score

    error = _run(study, objective, trials=trials, timeout=timeout)
    if error is not None and all(trial.state is TrialState.FAIL for trial in study.get_trials(deepcopy=False)):
        raise error
    return best, study


def _run(
    study: optuna.Study, objective: Callable[[optuna.Trial], float], *, trials: int, timeout: float | None
) -> Exception | None:
    """As ``Study.optimize``, without a line in the log for each trial; return the last error of an objective."""
    import time

    began = time.monotonic()
    failed = None
    for _ in range(trials):
        if timeout is not None and time.monotonic() - began >= timeout:
            break
        trial = study.ask()
        try:
            study.tell(trial, objective(trial))
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
        except Exception as error:  # noqa: BLE001 - a batch too small for its network, say: the trial's own fault
            failed = error
            study.tell(trial, state=TrialState.FAIL)
    return failed
