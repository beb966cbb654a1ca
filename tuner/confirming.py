"""An honest winner: the best trials are trained again from fresh seeds, and the test part scores what is best then.

The best of many scores is in part luck: of its seed, and of being the best of many on these validation samples. Fresh
seeds take the first away; the second remains until samples judge that chose nothing. So the one with the best mean on
the validation part is chosen, and only it is shown the test part.

Each training is a trial of a study of its own, whose first configurations are those of the candidates, and so is as
safe as any: shared between workers, fused where it pays, continued where it was interrupted.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from tuner import attributes
from tuner.checkpoints import open_store
from tuner.confirmation import Candidate, Confirmation, Estimate, Estimates, confirming_study
from tuner.errors import NoFinishedTrialError, TunerError, UsageError
from tuner.results import Results
from tuner.searchless import no_search_while_importing
from tuner.spec import Budget, Search, StudySpec
from tuner.study import delete, load, stored_spec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tuner.assessment import Decoded
    from tuner.results import TrialRow
    from tuner.trainable import Trainable
    from tuner.training import Loss, Part
    from tuner.training.data import Feed
    from tuner.workers.running import Observer

log = logging.getLogger("tuner")
LEVEL = 0.95
"""Of the intervals."""
RESAMPLES = 200
"""So often test samples are drawn anew to see how much a score owes to them (bootstrap)."""
MOST_OUTPUTS = 2**26
"""Numbers that networks may say of the test part for it to be drawn anew."""


def confirm(
    name: str,
    *,
    top: int = 5,
    seeds: int = 5,
    workers: int | None = None,
    storage: str | None = None,
    observer: Observer | None = None,
) -> Confirmation:
    """Train the ``top`` best trials of a study again, from ``seeds`` fresh seeds each; score the best of them.

    Of several metrics the candidates are the first of the Pareto front, and the first metric decides. What was
    interrupted goes on when it is asked for again. The result stays with the study: :meth:`Results.confirmation`.

    Args:
        workers: processes; by default one a core, or one a GPU.
        storage: a database URL, see :func:`tuner.study.storage_url`.
        observer: sees the confirming study while it runs.

    Raises:
        StudyNotFoundError: when there is no study of that name.
        NoFinishedTrialError: when it has no finished trial, or none of the new ones came to its end.
        UsageError: when what is asked for is less than one, or the study confirms another one itself.
        TunerError: when somebody stopped the confirming study.
        KeyboardInterrupt: on Ctrl-C, after the workers have left.
    """
    no_search_while_importing()
    results, rows = candidates(name, top=top, seeds=seeds, workers=workers, storage=storage)
    spec = stored_spec(results)
    before = results.confirmation
    repeated = _repeated(results, _confirming(spec, rows, seeds), storage)
    if not _run(repeated, workers, observer) and before is not None and before.asked(rows, seeds):
        return before
    judged = _judged(repeated, rows, seeds)
    ended = _ended(repeated, judged[0], [row.number for row in rows], seeds)
    tested = _tested(repeated, ended)
    found = Confirmation(
        study=name,
        seeds=seeds,
        candidates=judged,
        test=tested.each,
        test_samples=tested.samples,
        looks=(before.looks if before is not None else 0) + bool(tested.each),
        trainings=tuple(trial.number for trial in ended),
        together=tested.together,
    )
    results.storage.set_study_user_attr(results.study_id, attributes.CONFIRMATION, found.to_json())
    _tidy(repeated, ended)
    return found


def _tidy(repeated: Results, kept: Sequence[TrialRow]) -> None:
    """Delete the trainings' checkpoints but those whose networks may be ``kept`` next, lest they be trained again."""
    id_of = repeated.storage.get_trial_id_from_study_id_trial_number
    spared = {id_of(repeated.study_id, trial.number) for trial in kept}
    open_store(repeated.storage, repeated.study_id, stored_spec(repeated)).remove_all(but=spared)


def candidates(
    name: str, *, top: int, seeds: int, workers: int | None, storage: str | None
) -> tuple[Results, Sequence[TrialRow]]:
    """Return a study and the trials of it that :func:`confirm` would train again; nothing is done yet.

    Raises:
        TunerError: as :func:`confirm`.
    """
    from tuner.loading import LoadedTrainable, load_objective
    from tuner.workers.planning import plan

    for option, count in (("--top", top), ("--seeds", seeds)):
        if count < 1:
            raise UsageError(f"{option} {count}: at least 1 is needed")
    results = load(name, storage=storage)
    spec = stored_spec(results)
    plan(spec, workers)
    if spec.confirms:
        raise UsageError(f"study '{name}' confirms study '{spec.confirms}' itself; `tuner confirm {spec.confirms}`")
    rows = results.best(top)[:top]
    loaded = load_objective(spec, where="the stored study")
    if isinstance(loaded, LoadedTrainable):
        for row in rows:
            loaded.space.configuration(row.params, f"trial {row.number}")
    return results, rows


def _confirming(spec: StudySpec, rows: Sequence[TrialRow], seeds: int) -> StudySpec:
    """Return the spec of a study whose trials are the rows' configurations, each so many times."""
    training = spec.training
    cohort = training.cohort or seeds  # a candidate's trainings are of one shape
    kept = training.checkpoints.model_copy(update={"keep_best": len(rows) * seeds})
    return spec.model_copy(
        update={
            "name": confirming_study(spec.name),
            "confirms": spec.name,
            "search": Search(
                sampler="random", pruner="none", first=[dict(row.params) for row in rows for _ in range(seeds)]
            ),
            "budget": Budget(trials=len(rows) * seeds),
            "training": training.model_copy(update={"cohort": cohort, "checkpoints": kept}),
            "model": spec.model.model_copy(update={"keep_as": "", "ensemble": 1}),
        }
    )


def _repeated(results: Results, spec: StudySpec, storage: str | None) -> Results:
    """Return the study of ``spec``: the one that was interrupted, or a new one in the place of an older one."""
    opened = results.storage
    if spec.name in [study.study_name for study in opened.get_all_studies()]:
        before = load(spec.name, storage=storage)
        if before.spec is None or before.spec.confirms != results.name:
            raise UsageError(f"there is a study '{spec.name}' that does not confirm '{results.name}'; delete it first")
        if before.spec == spec:
            return before
        delete(spec.name, storage=storage)
    data = opened.get_study_user_attrs(results.study_id).get(attributes.DATA)
    study_id = opened.create_study(
        spec.name,
        opened.get_study_directions(results.study_id),
        user_attrs={attributes.SPEC: spec.model_dump(mode="json"), attributes.DATA: data},
        system_attrs={attributes.METRIC_NAMES: results.metric_names},
        budget=spec.budget.trials,
    )
    return Results(opened, spec.name, study_id)


def _run(repeated: Results, workers: int | None, observer: Observer | None) -> bool:
    """Train what is left to train; return whether there was anything."""
    from tuner.workers.running import run, standby

    status = repeated.status()
    if status.budget is not None and status.done >= status.budget:
        return False
    with standby(stored_spec(repeated), workers) as processes:
        run(repeated, workers=workers, observer=observer, processes=processes)
    status = repeated.status()
    if status.budget is not None and status.done < status.budget:
        raise TunerError(
            f"study '{repeated.name}' was stopped with {status.done} of {status.budget} trainings done; confirm it "
            "again, and it goes on"
        )
    return True


def _judged(repeated: Results, rows: Sequence[TrialRow], seeds: int) -> list[Candidate]:
    """Return the candidates, the best first; one of which fewer seeds came to their end is behind all others."""
    trials = repeated.trials()
    first, direction = repeated.metric_names[0], repeated.directions[0]
    found: list[Candidate] = []
    for place, row in enumerate(rows):
        ended = [trial for trial in trials[place * seeds : (place + 1) * seeds] if trial.state == "finished"]
        values = {name: [float(trial.values[name] or 0.0) for trial in ended] for name in repeated.metric_names}
        found.append(
            Candidate(
                trial=row.number,
                searched={name: float(value or 0.0) for name, value in row.values.items()},
                confirmed={name: _over_seeds(scores) for name, scores in values.items() if scores},
                ended=len(ended),
                as_good=False,
            )
        )
    sign = -1.0 if direction == "maximize" else 1.0
    found.sort(key=lambda one: (-one.ended, sign * one.confirmed[first].mean if one.ended else 0.0))
    best = found[0]
    if not best.ended:
        why = f"`tuner trials {repeated.name}` tells why"
        raise NoFinishedTrialError(f"no training of study '{repeated.name}' came to its end; {why}")
    return [_marked(one, best, first) for one in found]


def _marked(one: Candidate, best: Candidate, metric: str) -> Candidate:
    told_apart = one is not best and (
        one.ended < best.ended or _differ(one.confirmed[metric].scores, best.confirmed[metric].scores)
    )
    return Candidate(
        trial=one.trial, searched=one.searched, confirmed=one.confirmed, ended=one.ended, as_good=not told_apart
    )


def _over_seeds(scores: Sequence[float]) -> Estimate:
    """Return the estimate from one score a seed; its interval is Student's."""
    return Estimate(scores=tuple(scores), half_width=_student(scores))


def _student(scores: Sequence[float]) -> float | None:
    """Return Student's half width; ``None`` for one score, or equal ones, which tell of no spread: they are too few."""
    from scipy.stats import t

    spread = stdev(scores) if len(scores) > 1 else 0.0
    return float(t.ppf((1 + LEVEL) / 2, len(scores) - 1)) * spread / math.sqrt(len(scores)) if spread else None


def _differ(one: Sequence[float], other: Sequence[float]) -> bool:
    """Tell whether two samples' means differ by more than chance: Welch's t-test."""
    from scipy.stats import ttest_ind_from_stats

    if min(len(one), len(other)) < 2:
        return False
    if stdev(one) == stdev(other) == 0:
        return fmean(one) != fmean(other)
    known = [(fmean(scores), stdev(scores), len(scores)) for scores in (one, other)]
    return bool(ttest_ind_from_stats(*known[0], *known[1], equal_var=False).pvalue < 1 - LEVEL)


@dataclass(frozen=True, kw_only=True)
class _Networks:
    """The chosen configuration's networks, one a seed, and what judges them."""

    modules: Sequence[nn.Module]
    part: Part
    trainable: Trainable
    loss: Loss


@dataclass(frozen=True, kw_only=True)
class _Tested:
    """What they score on the test part, each by itself and together."""

    each: Estimates = field(default_factory=dict)
    together: Estimates = field(default_factory=dict)
    samples: int = 0


def _ended(repeated: Results, chosen: Candidate, order: Sequence[int], seeds: int) -> list[TrialRow]:
    """Return the chosen one's trainings that came to their end."""
    start = order.index(chosen.trial) * seeds
    return [trial for trial in repeated.trials()[start : start + seeds] if trial.state == "finished"]


def _tested(repeated: Results, trials: Sequence[TrialRow]) -> _Tested:
    """Return what the trials' networks score on the test part; nothing where there is none."""
    networks = _networks(repeated, trials)
    return _Tested() if networks is None else _scores(networks)


def _networks(repeated: Results, trials: Sequence[TrialRow]) -> _Networks | None:
    from tuner.fittable import Fittable
    from tuner.loading import LoadedTrainable, load_objective
    from tuner.members import trial_seed
    from tuner.models.keeping import Rebuilt
    from tuner.preparation import check_data

    spec = stored_spec(repeated)
    loaded = load_objective(spec, where="the stored study")
    if not isinstance(loaded, LoadedTrainable):
        return None
    trainable = loaded.trainable
    dataset = trainable.load()
    check_data(repeated.storage.get_study_user_attrs(repeated.study_id), spec.name, dataset)
    if dataset.test is None:
        return None
    if isinstance(trainable, Fittable):
        modules = [
            trainable.fit(
                dataset,
                loaded.space.configuration(trial.params, f"trial {trial.number}"),
                seed=trial_seed(spec, trial.number),
            )
            for trial in trials
        ]
        return _Networks(modules=modules, part=dataset.test, trainable=trainable, loss=trainable.loss({}))
    rebuilt = [Rebuilt(repeated, spec, loaded, dataset, trial) for trial in trials]
    part = rebuilt[0].dataset.test
    assert part is not None
    return _Networks(
        modules=[one.member.module for one in rebuilt], part=part, trainable=trainable, loss=rebuilt[0].member.loss
    )


def _scores(networks: _Networks) -> _Tested:
    """Return the estimates of all metrics on the test part.

    The half width is the root of the sum of two squares: Student's for the seeds, and 1.96 standard errors of the mean
    score for the samples, by the bootstrap. What the networks say together is one score, without the former.
    """
    import torch

    from tuner.assessment import reported_metrics
    from tuner.training.judging import judge
    from tuner.training.network import predict

    part, whole, metrics = networks.part, None, reported_metrics(networks.trainable)

    def outputs(feeds: Sequence[Feed]) -> Tensor:
        nonlocal whole
        said = torch.stack([predict(module, feeds) for module in networks.modules]).to(part.targets.device)
        if said.shape[1] == len(part) and said.numel() <= MOST_OUTPUTS:
            whole = said
        return said

    _, scores = judge(outputs, part, networks.loss, metrics)
    joint = _joint(networks, whole)
    each, together = {}, {}
    for metric, score in zip(metrics, scores, strict=True):
        values = score.tolist()
        if not all(map(math.isfinite, values)):
            continue
        by_samples = 0.0 if whole is None else 1.96 * _samples_error(metric, whole, part.targets)
        each[metric.name] = Estimate(scores=tuple(values), half_width=_half_width(_student(values), by_samples))
        if joint is not None:
            value = float(metric(joint, part.targets))
            by_samples = 1.96 * _samples_error(metric, joint, part.targets)
            together[metric.name] = Estimate(scores=(value,), half_width=_half_width(by_samples))
    return _Tested(each=each, together=together, samples=len(part))


def _joint(networks: _Networks, outputs: Tensor | None) -> Tensor | None:
    """Return what several networks say together ``[1, N, …]``; ``None`` where that is nothing."""
    if outputs is None or len(outputs) < 2 or networks.trainable.no_ensemble:
        return None
    try:
        return networks.trainable.combine(outputs).unsqueeze(0)
    except Exception as error:  # noqa: BLE001 - the objective's own code; what each of them scores is known by now
        name = type(networks.trainable).__name__
        log.warning(
            "%s.combine failed, so that nothing tells what they score together: %s",
            name,
            f"{type(error).__name__}: {error}",
        )
        return None


def _half_width(*parts: float | None) -> float | None:
    known = [part for part in parts if part]
    return math.hypot(*known) if known else None


def _samples_error(metric: Decoded, outputs: Tensor, targets: Tensor) -> float:
    """Return the standard error of the mean score over the seeds that the choice of samples brings.

    It is 0 where all answers are right: samples that hold no mistake cannot tell how many others would.
    """
    import torch

    chance = torch.Generator().manual_seed(0)
    means = []
    for _ in range(RESAMPLES):
        rows = torch.randint(len(targets), (len(targets),), generator=chance)
        means.append(float(metric(outputs[:, rows], targets[rows]).mean()))
    finite = [mean for mean in means if math.isfinite(mean)]
    return stdev(finite) if len(finite) > 1 else 0.0
