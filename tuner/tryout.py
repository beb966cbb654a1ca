"""Trying a study out: its data read, its usual configuration trained for one epoch, nothing stored."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuner.errors import ObjectiveError, TunerError
from tuner.fittable import Fittable
from tuner.function import LoadedFunction, check_count, problem
from tuner.loading import LoadedTrainable, load_objective, refuse_idle
from tuner.own_code import load_data, own_code
from tuner.space import Choices, Range, Space

if TYPE_CHECKING:
    from tuner.space import Scalar
    from tuner.spec import StudySpec

_LOSSES = ("training_loss", "validation_loss")


@dataclass(frozen=True, kw_only=True)
class Tryout:
    """What trying a study showed."""

    data: Mapping[str, Any]
    """What the objective inferred: :meth:`tuner.Trainable.describe`."""
    space: Space | None
    """``None`` for a plain function, which declares none."""
    params: Mapping[str, Any]
    """The configuration that was tried."""
    scores: Mapping[str, float]
    """Losses and metrics after one epoch, or what the function returned."""
    weights: int | None
    """Parameters of the network."""
    seconds: float
    """What the epoch, or the call of the function, took."""


def try_out(spec: StudySpec, *, where: str) -> Tryout:
    """Load the objective and the data of ``spec``, train one configuration for one epoch, and return what came of it.

    A plain function runs once.

    Raises:
        TunerError: for what a study could not be started with.
        ObjectiveError: for what the objective's own code raises.
    """
    loaded = load_objective(spec, where=where)
    refuse_idle(spec, loaded, where=where)
    if isinstance(loaded, LoadedTrainable) and isinstance(loaded.trainable, Fittable):
        return _try_fittable(spec, loaded, loaded.trainable, where)
    if isinstance(loaded, LoadedTrainable):
        return _try_trainable(spec, loaded, where)
    return _try_function(spec, loaded, where)


def usual_configuration(space: Space) -> dict[str, Scalar]:
    """Return the usual value of everything that is searched; of what has none, the middle or the first choice."""
    values: dict[str, Scalar] = {}
    for name, parameter in space.searched.items():
        if name in space.usual:
            values[name] = space.usual[name]
        elif isinstance(parameter, Choices):
            values[name] = parameter.choices[0]
        elif isinstance(parameter, Range):
            low, high = parameter.low, parameter.high
            values[name] = parameter.nearest(math.sqrt(low * high) if parameter.log else (low + high) / 2)
    return values


def _try_trainable(spec: StudySpec, loaded: LoadedTrainable, where: str) -> Tryout:
    from optuna.trial import FixedTrial

    from tuner.assessment import decoded_metrics
    from tuner.members import make_member
    from tuner.models.warm_start import WarmStart
    from tuner.search import strategies
    from tuner.training import Cohort
    from tuner.workers.planning import Machine, plan_workers

    device, _ = plan_workers(Machine.this(), workers=1, trials=1, device=spec.training.device)[0]
    trainable = loaded.trainable
    dataset = load_data(trainable)
    with own_code(type(trainable)):
        metrics = decoded_metrics(trainable)
    strategies.resolve(spec.search, loaded.space, objectives=len(metrics), epochs=spec.training.epochs, where=where)
    params = loaded.space.suggest(FixedTrial(usual_configuration(loaded.space)))
    try:
        start = WarmStart.of(spec.model)
        member = make_member(trainable, dataset, params, spec.training, number=0, seed=spec.seed, start=start)
        cohort = Cohort(dataset, metrics, device=device)
        cohort.join(member)
        (result,) = cohort.epoch()
    except TunerError:
        raise
    except (Exception, SystemExit) as error:
        raise objectives_own(error) from error
    scores = {"training_loss": result.training_loss, "validation_loss": result.validation_loss, **result.metrics}
    _refuse_undefined(scores, where)
    return Tryout(
        data=trainable.describe(),
        space=loaded.space,
        params=params,
        scores=scores,
        weights=sum(p.numel() for p in member.module.parameters() if p.requires_grad),
        seconds=result.seconds,
    )


def _try_fittable(spec: StudySpec, loaded: LoadedTrainable, fittable: Fittable, where: str) -> Tryout:
    from optuna.trial import FixedTrial

    from tuner import attributes
    from tuner.search import strategies
    from tuner.workers.fittable_worker import Fitting

    fitting = Fitting(fittable, fittable.load())
    strategies.resolve(spec.search, loaded.space, objectives=len(fitting.metrics), epochs=None, where=where)
    params = loaded.space.suggest(FixedTrial(usual_configuration(loaded.space)))
    began = time.perf_counter()
    try:
        noted = fitting.fit(params, seed=spec.seed)
    except TunerError:
        raise
    except (Exception, SystemExit) as error:
        raise objectives_own(error) from error
    names = [metric.name for metric in fitting.metrics]
    scores = {
        "training_loss": noted[attributes.TRAINING]["loss"],
        "validation_loss": noted[attributes.VALIDATION]["loss"],
        **dict(zip(names, fitting.values(noted), strict=True)),
    }
    _refuse_undefined(scores, where)
    return Tryout(
        data=fittable.describe(),
        space=loaded.space,
        params=params,
        scores=scores,
        weights=None,
        seconds=time.perf_counter() - began,
    )


def _try_function(spec: StudySpec, loaded: LoadedFunction, where: str) -> Tryout:
    import optuna

    from tuner.search import strategies

    check_count(loaded, where=where)
    directions = loaded.options.directions()
    strategies.resolve(spec.search, None, objectives=len(directions), epochs=None, where=where)
    study = optuna.create_study(directions=directions, storage=optuna.storages.InMemoryStorage())
    trial = study.ask()
    began = time.perf_counter()
    values: list[float] = []
    try:
        returned = loaded.function(trial)
        wrong = problem(returned, wanted=len(directions))
        if wrong:
            raise ObjectiveError(f"{where}: {wrong}")
        values = list(returned) if isinstance(returned, Sequence) else [returned]
        if loaded.constraints is not None:
            loaded.constraints(study.get_trials()[0])
    except optuna.TrialPruned:
        pass
    except TunerError:
        raise
    except (Exception, SystemExit) as error:
        raise objectives_own(error) from error
    return Tryout(
        data={"notes": list(loaded.notes)} if loaded.notes else {},
        space=None,
        params=trial.params,
        scores=dict(zip(loaded.options.names(), map(float, values), strict=bool(values))),
        weights=None,
        seconds=time.perf_counter() - began,
    )


def _refuse_undefined(scores: Mapping[str, float], where: str) -> None:
    """Refuse what trials could not be compared by.

    Raises:
        ObjectiveError: naming the losses that are not finite, or the metrics that are no number.
    """
    losses = {name: scores[name] for name in _LOSSES if not math.isfinite(scores[name])}
    undefined = losses or {name: score for name, score in scores.items() if math.isnan(score)}
    if not undefined:
        return
    found = ", ".join(f"{name} is {score}" for name, score in undefined.items())
    remedy = (
        "look for numbers that are not finite in the data, the network and the loss, or search smaller learning rates"
        if losses
        else "trials without a value fail; let the metric return a number for every outcome, or optimise another one"
    )
    raise ObjectiveError(f"{where}: {found} after training with the usual configuration; {remedy}")


def objectives_own(error: BaseException) -> ObjectiveError:
    """Return what tells of an error that the objective's own code raised."""
    from tuner import failures

    failure = failures.describe(error)
    return ObjectiveError(f"the objective failed: {failure['reason']}", traceback=failure["traceback"])
