"""Keeping the networks of trials: their weights, what prepares their inputs, and a card, under a name.

A trial's network is that of its last checkpoint, trained on to where the trial ended. Where no checkpoint is left it is
trained again from the beginning, which gives the same network: all of a trial's chance follows from its number.
"""

from __future__ import annotations

import datetime as dt
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuner import attributes
from tuner.errors import UsageError
from tuner.models import choosing
from tuner.models.cards import NETWORKS, packed, trials_of
from tuner.models.naming import WEIGHTS, check_place, may_replace, open_models

if TYPE_CHECKING:
    from tuner.confirmation import Confirmation
    from tuner.loading import LoadedTrainable
    from tuner.results import Results, TrialRow
    from tuner.spec import StudySpec
    from tuner.training import Cohort, Dataset, Member

log = logging.getLogger("tuner")
notes = logging.getLogger("tuner.notes")
TOLERANCE = 1e-3
"""A score of a network that was trained again may differ by so much, relatively, from the one that was recorded."""


@dataclass(frozen=True, kw_only=True)
class KeptModel:
    """A network that was kept, or several that answer together."""

    name: str
    place: str
    trials: Sequence[int]
    """Whose networks they are."""
    pruned: Sequence[int]
    """The trials that the search stopped early, before the network had learned all it could."""
    epochs_trained: int
    """So many epochs had to be trained again; 0 where the trials' last checkpoints were at hand."""
    scores: Mapping[str, float]
    """The optimised metrics of what was kept, on the validation part."""
    alone: Sequence[Mapping[str, float]]
    """Those of each network."""
    replaced_by_runs: bool
    """Whether the next run of the study keeps its best network in its place."""
    source: str
    """Where the data lies from which it learned, if its objective says so."""
    no_predictions: str
    """Why it answers nothing by itself, if so, and what it is for."""


def keep(
    results: Results,
    *,
    trials: Sequence[int] = (),
    ensemble: int | None = None,
    name: str | None = None,
    replace: bool = False,
) -> KeptModel:
    """Keep the network of a trial under ``name`` (default: the study's): the chosen one unless told otherwise.

    Those of several ``trials``, or of the chosen one and the next best, as many as ``ensemble`` says, become one model
    that answers what they say together (:meth:`tuner.trainable.Trainable.combine`). With neither it is as ``[model]
    ensemble`` says.

    Raises:
        UsageError: for a trial that has not come to an end, a study without networks, and a name that is taken.
        NoFinishedTrialError: when no trial has finished.
    """
    from tuner.study import stored_spec

    spec = stored_spec(results)
    store = open_models(_url(results), spec.model.where)
    name = check_place(name or spec.model.keep_as or results.name)
    if not replace and name in store.names():
        raise UsageError(f"there is a model '{name}' already; --force overwrites it, --name gives another")
    rebuilt = _rebuilt(results, lambda: choosing.asked_for(results, spec, trials, ensemble))
    scores = rebuilt[0].scores if len(rebuilt) == 1 else _together(rebuilt)
    files, card = _contents(results, spec, rebuilt, scores)
    place = store.save(name, files, card, replace=replace)
    kept = [one.row.number for one in rebuilt]
    return KeptModel(
        name=name,
        place=place,
        trials=kept,
        pruned=[one.row.number for one in rebuilt if one.row.state == "pruned"],
        epochs_trained=sum(one.epochs_trained for one in rebuilt),
        scores=scores,
        alone=[one.scores for one in rebuilt],
        replaced_by_runs=name == spec.model.keep_as and kept != choosing.best(results, spec),
        source=str(spec.data.get("source", "")),
        no_predictions=rebuilt[0].trainable.no_predictions,
    )


def keep_best(results: Results) -> KeptModel | None:
    """Keep the best network, or networks, as ``[model]`` says; ``None`` where it does not, or they are kept already.

    Raises:
        UsageError: when another study's network has the name.
    """
    spec = results.spec
    best = [] if spec is None or not spec.model.keep_as else choosing.best(results, spec)
    if spec is None or not best:
        return None
    name = spec.model.keep_as
    store = open_models(_url(results), spec.model.where)
    if not may_replace(store, name, results.name):
        raise UsageError(
            f"[model] keep_as: another study's network is kept as '{name}'; `tuner keep --name` keeps this"
        )
    if name in store.names():
        card = store.card(name)
        if (card["study_key"], trials_of(card)) == (results.storage.study_key(results.study_id), best):
            return None
    return keep(results, trials=best, name=name, replace=True)


def rebuild(results: Results, *, trial: int | None = None) -> Rebuilt:
    """Return the network of a trial, the chosen one unless told otherwise, with its data.

    Raises:
        UsageError: for a trial that has not come to an end, and a study without networks.
        NoFinishedTrialError: when no trial has finished.
    """
    return _rebuilt(results, lambda: [choosing.ended(results, trial)])[0]


def _rebuilt(results: Results, choose: Callable[[], list[TrialRow]]) -> list[Rebuilt]:
    """Return the networks of the trials that are chosen, which share their data."""
    from tuner.fittable import Fittable
    from tuner.loading import LoadedTrainable, load_objective
    from tuner.preparation import check_data
    from tuner.study import stored_spec

    spec = stored_spec(results)
    loaded = load_objective(spec, where="the stored study")
    if not isinstance(loaded, LoadedTrainable):
        raise UsageError(f"study '{results.name}' tunes a plain function, which keeps no network for tuner")
    if isinstance(loaded.trainable, Fittable):
        raise UsageError(f"study '{results.name}' fits estimators of scikit-learn, which are no networks to keep")
    rows = choose()
    dataset = loaded.trainable.load()
    check_data(results.storage.get_study_user_attrs(results.study_id), spec.name, dataset)
    if len(rows) > 1 and loaded.trainable.no_ensemble:
        raise UsageError(f"a network of study '{results.name}' {loaded.trainable.no_ensemble}; keep one trial")
    return [Rebuilt(results, spec, loaded, dataset, row) for row in rows]


class Rebuilt:
    """The network of a trial that has ended, as it was at its best epoch. ``dataset`` is what the trainable loads."""

    def __init__(
        self, results: Results, spec: StudySpec, loaded: LoadedTrainable, dataset: Dataset, row: TrialRow
    ) -> None:
        from tuner.assessment import decoded_metrics
        from tuner.members import make_member, trial_seed
        from tuner.models.warm_start import WarmStart

        self.trainable = loaded.trainable
        self.row = row
        self.metrics = decoded_metrics(self.trainable)
        self.params = loaded.space.configuration(row.params, f"trial {row.number}")
        self.member = make_member(
            self.trainable,
            dataset,
            self.params,
            spec.training,
            number=row.number,
            seed=trial_seed(spec, row.number),
            start=WarmStart.of(spec.model),
        )
        self._restore(results, spec)
        self.epochs_trained = max(0, row.attributes[attributes.EPOCHS] - self.member.epoch)
        self.scores = self._finish(dataset, spec, row)

    def _restore(self, results: Results, spec: StudySpec) -> None:
        """Continue from the trial's last checkpoint, if there is one."""
        from tuner.checkpoints import Checkpoints, open_store

        trial_id = results.storage.get_trial_id_from_study_id_trial_number(results.study_id, self.member.number)
        checkpoints = Checkpoints(open_store(results.storage, results.study_id, spec))
        checkpoint = checkpoints.load(trial_id)
        if checkpoint is not None:
            checkpoints.restore(self.member, checkpoint)

    def _finish(self, dataset: Dataset, spec: StudySpec, row: TrialRow) -> dict[str, float]:
        """Train to where the trial ended; return the scores of its best epoch's weights."""
        from tuner.training import Cohort
        from tuner.workers.planning import Machine, plan_workers

        device, _ = plan_workers(Machine.this(), workers=1, trials=1, device=spec.training.device)[0]
        cohort = Cohort(dataset, self.metrics, device=device)
        if self.epochs_trained:
            notes.info("trial %d is trained again for %d epochs", row.number, self.epochs_trained)
            cohort.join(self.member)
        for _ in range(self.epochs_trained):
            cohort.epoch()
        cohort.leave(self.member)
        self.member.take_best()
        self.dataset = cohort.data_of(self.member)
        scores = _scores(self.member, cohort)
        for metric, recorded in row.values.items():
            found = scores[metric]
            if row.state == "finished" and not math.isclose(found, recorded or 0.0, rel_tol=TOLERANCE, abs_tol=1e-6):
                log.warning(
                    "trial %d had %s %g; trained again on this machine, %g", row.number, metric, recorded, found
                )
        return scores

    def weights(self) -> bytes:
        """Return the network's parameters and buffers as a safetensors file."""
        from tuner.models.warm_start import saved

        return saved(self.member.module)


def _scores(member: Member, cohort: Cohort) -> dict[str, float]:
    from tuner.training.judging import judge
    from tuner.training.network import predict

    module, part = member.module.to(cohort.device), cohort.data_of(member).validation
    _, scores = judge(lambda feeds: predict(module, feeds).unsqueeze(0), part, member.loss, cohort.metrics)
    return {metric.name: float(score) for metric, score in zip(cohort.metrics, scores, strict=True)}


def _together(rebuilt: Sequence[Rebuilt]) -> dict[str, float]:
    """Return the scores of what the networks say together on the validation part."""
    import torch

    from tuner.training.network import predict

    said = [predict(one.member.module, one.dataset.validation.feeds) for one in rebuilt]
    first = rebuilt[0]
    outputs, targets = first.trainable.combine(torch.stack(said)), first.dataset.validation.targets
    return {metric.name: float(metric(outputs.unsqueeze(0), targets)) for metric in first.metrics}


def _contents(
    results: Results, spec: StudySpec, rebuilt: Sequence[Rebuilt], scores: Mapping[str, float]
) -> tuple[Mapping[str, bytes], dict[str, Any]]:
    """Return the files of a model, and what its card tells: from where it comes, what it is, what it scored."""
    files = [{WEIGHTS: one.weights(), **one.trainable.artifacts(one.params)} for one in rebuilt]
    networks = [_network(one) for one in rebuilt]
    card = {
        "kept": dt.datetime.now().astimezone().isoformat(timespec="seconds"),
        "study": results.name,
        "study_key": results.storage.study_key(results.study_id),
        "objective": dict(spec.objective),
        "data": dict(spec.data),
        "seed": spec.seed,
        "scores": scores,
    }
    confirmation = _confirmation(results, spec, [one.row.number for one in rebuilt])
    card["confirmation"] = None if confirmation is None else confirmation.to_json()
    if len(rebuilt) == 1:
        return files[0], {**networks[0], **card}
    together, names = packed(files)
    parameters = sum(network["network_parameters"] for network in networks)
    whose = [{**network, "files": held} for network, held in zip(networks, names, strict=True)]
    return together, {**card, "trial": None, "params": {}, "network_parameters": parameters, NETWORKS: whose}


def _confirmation(results: Results, spec: StudySpec, trials: Sequence[int]) -> Confirmation | None:
    """Return the confirmation that chose these: a trial of the study, or all of the chosen one's trainings."""
    from tuner.study import load

    if not spec.confirms:
        found = results.confirmation
        return found if found is not None and [found.chosen.trial] == list(trials) else None
    found = load(spec.confirms, storage=_url(results)).confirmation
    return found if found is not None and sorted(found.trainings) == sorted(trials) else None


def _network(rebuilt: Rebuilt) -> dict[str, Any]:
    """Return what a card tells of one network."""
    row = rebuilt.row
    scored = (attributes.TRAINING, attributes.VALIDATION, attributes.VERDICT, attributes.BEST_EPOCH)
    return {
        "trial": row.number,
        "params": dict(rebuilt.params),
        "scores": rebuilt.scores,
        "noted": {key: row.attributes[key] for key in scored if key in row.attributes},
        "network_parameters": sum(p.numel() for p in rebuilt.member.module.parameters()),
    }


def _url(results: Results) -> str:
    return results.storage.database.url.render_as_string(hide_password=False)
