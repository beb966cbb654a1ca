"""From a spec to what a study is created with: the objective made, its data read and checked, its space written out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner import attributes
from tuner.errors import DataError, ObjectiveError, SpecError, StudyConflictError, TunerError, UsageError
from tuner.function import LoadedFunction, check_count
from tuner.loading import LoadedTrainable, load_objective, refuse_idle
from tuner.own_code import load_data, own_code
from tuner.search import strategies
from tuner.study_file import names_a_file, with_whole_paths
from tuner.tryout import objectives_own, usual_configuration

if TYPE_CHECKING:
    from optuna.study import StudyDirection

    from tuner.search.strategies import Strategy
    from tuner.space import Scalar, Space
    from tuner.spec import StudySpec
    from tuner.training import Dataset, Member
    from tuner.training.data import Feed

MOST_CHOICES = 8
"""So many choices of a hyperparameter are tried with weights to begin with."""
FINGERPRINT = "fingerprint"
FINGERPRINT_NUMBERS = 10_000_000
"""Of a tensor with more numbers than this, some rows are looked at."""
FINGERPRINT_SAMPLES = 64
"""So many samples are read of what is no tensor."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a study is created with."""

    spec: StudySpec
    """With its space written out in full, so that later defaults do not change it."""
    directions: list[StudyDirection]
    metric_names: list[str]
    data: Mapping[str, Any]
    """What the objective found in the data (JSON), with a fingerprint of it."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "spec": self.spec.model_dump(mode="json"),
            "directions": [direction.name for direction in self.directions],
            "metric_names": self.metric_names,
            "data": dict(self.data),
        }

    @staticmethod
    def from_json(kept: Mapping[str, Any], *, where: str) -> Prepared:
        """Return what :meth:`to_json` gave."""
        from tuner.spec import parse_spec

        spec = parse_spec(kept["spec"], where=where)
        return Prepared(**{**kept, "spec": spec, "directions": _directions(kept["directions"])})


def resolved(spec: StudySpec, *, where: str) -> tuple[StudySpec, Space | None]:
    """Return ``spec`` with its objective's space written out; the space is ``None`` for a plain function.

    Raises:
        SpecError: for what the objective does not take.
    """
    loaded = load_objective(spec, where=where)
    if isinstance(loaded, LoadedFunction):
        return _function_written_out(spec, loaded), None
    return _written_out(spec, loaded), loaded.space


def prepare(spec: StudySpec, *, where: str) -> Prepared:
    """Return what a study of ``spec`` is created with, after reading the data.

    Raises:
        SpecError, DataError, UsageError: naming what is wrong.
    """
    loaded = load_objective(spec, where=where)
    refuse_idle(spec, loaded, where=where)
    if isinstance(loaded, LoadedFunction):
        return _prepare_function(spec, loaded, where)
    dataset = load_data(loaded.trainable)
    with own_code(type(loaded.trainable)):
        metrics = loaded.trainable.metrics()
    names = [metric.name for metric in metrics]
    if len(set(names)) != len(names):
        raise SpecError(f"{where} [objective]: metric names one twice: {', '.join(names)}")
    strategy = strategies.resolve(
        spec.search, loaded.space, objectives=len(metrics), epochs=spec.training.epochs, where=where
    )
    spec = _of_a_grid(spec, strategy)
    with own_code(type(loaded.trainable)):
        described = _json(loaded.trainable.describe(), f"{type(loaded.trainable).__name__}.describe()")
        no_ensemble = loaded.trainable.no_ensemble
    if spec.model.ensemble > 1 and no_ensemble:
        raise SpecError(f"{where} [model]: ensemble = {spec.model.ensemble}: a network of this objective {no_ensemble}")
    if spec.model.start_from:
        described["notes"] = [*described.get("notes", ()), _check_start(spec, loaded, dataset)]
    return Prepared(
        spec=_written_out(spec, loaded),
        directions=_directions([metric.direction for metric in metrics]),
        metric_names=[metric.name for metric in metrics],
        data={**described, FINGERPRINT: fingerprint(dataset)},
    )


def _json(described: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return what an objective says of its data as it will be read again.

    Raises:
        ObjectiveError: when it is no JSON.
    """
    try:
        found: dict[str, Any] = json.loads(json.dumps(dict(described)))
    except (TypeError, ValueError) as error:
        raise ObjectiveError(f"{where} must return JSON: {error}") from None
    return found


def _check_start(spec: StudySpec, loaded: LoadedTrainable, dataset: Dataset) -> str:
    """Return what the networks take of the weights they begin with, tried on one of the usual configuration.

    Where they must fit whole networks, others are tried too: each of what is searched of the network at its ends.

    Raises:
        UsageError: when the weights do not fit.
    """
    from optuna.trial import FixedTrial

    from tuner.members import make_member
    from tuner.models.warm_start import WarmStart

    start = WarmStart.of(spec.model)
    assert start is not None
    usual = usual_configuration(loaded.space)

    def member_of(configuration: Mapping[str, Any]) -> Member:
        params = loaded.space.suggest(FixedTrial(dict(configuration)))
        try:
            return make_member(loaded.trainable, dataset, params, spec.training, number=0, seed=spec.seed, start=start)
        except TunerError:
            raise
        except Exception as error:
            raise objectives_own(error) from error

    member = member_of(usual)
    misfits: dict[str, str] = {}
    for name, value in _ends(loaded) if start.strict else ():
        try:
            member_of({**usual, name: value})
        except UsageError as error:
            misfits.setdefault(name, f"with {name} = {value}, {error}")
    if misfits:
        fixed = " ".join(f"-S space.{name}={usual[name]}" for name in misfits)
        raise UsageError(f"{next(iter(misfits.values()))}; {fixed} searches no other networks")
    fit = start.fit(member.module)
    rest = fit.said()
    return f"networks begin with {len(fit.taken)} tensors of '{start.where}'" + (f"; {rest}" if rest else "")


def _of_a_grid(spec: StudySpec, strategy: Strategy) -> StudySpec:
    """Return the spec with no more trials than its grid has: several workers would repeat some at its end."""
    trials, most = spec.budget.trials, strategy.combinations
    if most is None or (trials is not None and trials <= most):
        return spec
    return spec.model_copy(update={"budget": spec.budget.model_copy(update={"trials": most})})


def _ends(loaded: LoadedTrainable) -> Iterator[tuple[str, Scalar]]:
    """Yield the outermost values of what is searched of the network itself, and its choices."""
    from tuner.hyperparameters import TRAINING
    from tuner.space import Choices, Range

    training = {hyper.name for hyper in TRAINING}
    for name, parameter in loaded.space.searched.items():
        if name in training or parameter.when:
            continue
        if isinstance(parameter, Range):
            yield from ((name, parameter.take(value)) for value in (parameter.low, parameter.nearest(parameter.high)))
        elif isinstance(parameter, Choices):
            yield from ((name, choice) for choice in parameter.choices[:MOST_CHOICES])


def _written_out(spec: StudySpec, loaded: LoadedTrainable) -> StudySpec:
    """Return the spec with its space in full and its files by their whole paths."""
    written = {
        "objective": with_whole_paths(spec.objective, Path()),
        "space": loaded.space.to_json(),
        "data": _with_whole_paths(spec.data, loaded),
    }
    return spec.model_copy(update=written)


def _with_whole_paths(data: Mapping[str, Any], loaded: LoadedTrainable) -> dict[str, Any]:
    """Name files and folders by their whole paths: a study is resumed from any folder."""
    return {
        key: str(Path(value).resolve())
        if names_a_file(key) and isinstance(value, str) and _is_path(value, loaded.trainable.data_sets)
        else value
        for key, value in data.items()
    }


def _is_path(value: str, data_sets: Sequence[str]) -> bool:
    """Whether a value is that of a file or folder; a built-in data set goes before a folder of its name."""
    return Path(value).is_file() or (Path(value).is_dir() and value not in data_sets)


def _function_written_out(spec: StudySpec, loaded: LoadedFunction) -> StudySpec:
    """Return the spec with the file of its function by its whole path, and with what that file says."""
    options = loaded.options.model_dump(mode="json", exclude_defaults=True)
    written: dict[str, Any] = {"objective": with_whole_paths({**spec.objective, **options}, Path())}
    if loaded.first:
        written["search"] = spec.search.model_copy(update={"first": [dict(one) for one in loaded.first]})
    return spec.model_copy(update=written)


def _prepare_function(spec: StudySpec, loaded: LoadedFunction, where: str) -> Prepared:
    check_count(loaded, where=where)
    directions = loaded.options.directions()
    written = _function_written_out(spec, loaded)
    strategy = strategies.resolve(written.search, None, objectives=len(directions), epochs=None, where=where)
    return Prepared(
        spec=_of_a_grid(written, strategy),
        directions=_directions(directions),
        metric_names=loaded.options.names(),
        data={"notes": list(loaded.notes)} if loaded.notes else {},
    )


def fingerprint(dataset: Dataset) -> list[list[float]]:
    """Return, for all that is learned from, its length, the sum of its magnitudes, and a weighted sum.

    The weights depend on the place, so other rows, or the same in another order, give another sum. Of what is large,
    or read from elsewhere, the sums are of some rows, from all over it.
    """
    return [_marks(feed) for part in (dataset.training, dataset.validation) for feed in (*part.feeds, part.targets)]


def _marks(feed: Feed) -> list[float]:
    import torch

    from tuner.training.data import gather

    rows = torch.arange(len(feed))
    if not isinstance(feed, torch.Tensor):
        rows = rows[:: -(-len(feed) // FINGERPRINT_SAMPLES)]
    elif feed.numel() > FINGERPRINT_NUMBERS:
        rows = rows[:: -(-feed.numel() // FINGERPRINT_NUMBERS)]
    values = gather(feed, rows).detach().cpu().double().flatten().nan_to_num_(nan=-1.0, posinf=1e9, neginf=-1e9)
    weights = torch.cos(torch.arange(len(values), dtype=torch.float64))
    length = feed.numel() if isinstance(feed, torch.Tensor) else len(feed)
    return [float(length), float(values.abs().sum()), float(values @ weights)]


def same_data(one: list[list[float]], other: list[list[float]]) -> bool:
    """Whether two fingerprints are of the same data; machines may differ in how they round."""
    if [mark[0] for mark in one] != [mark[0] for mark in other]:
        return False
    pairs = [
        (a, b, first[1]) for first, second in zip(one, other, strict=True) for a, b in zip(first, second, strict=True)
    ]
    return all(abs(a - b) <= 1e-6 * (1 + magnitude) for a, b, magnitude in pairs)


def check(spec: StudySpec, kept: Mapping[str, Any]) -> None:
    """Read the data of a study that goes on as ``spec`` says, and compare it with what its attributes ``kept`` say.

    Raises:
        StudyConflictError: when it has changed.
        TunerError: when the objective or its data cannot be used.
    """
    loaded = load_objective(spec, where="the stored study")
    for key, value in spec.data.items():
        if names_a_file(key) and isinstance(value, str) and Path(value).is_absolute() and not Path(value).exists():
            raise DataError(f"{value}: no such file; where it lies now, -S data.{key}=PATH says")
    if isinstance(loaded, LoadedTrainable):
        check_data(kept, spec.name, load_data(loaded.trainable))


def check_data(kept: Mapping[str, Any], name: str, dataset: Dataset) -> None:
    """Compare the data of a study with what its attributes ``kept`` say of it.

    Raises:
        StudyConflictError: when it has changed.
    """
    known = kept.get(attributes.DATA, {}).get(FINGERPRINT)
    if known is not None and not same_data(known, fingerprint(dataset)):
        raise StudyConflictError(
            f"the data of study '{name}' is not what it was when the study was created (or another version of tuner "
            "read it otherwise); put it back, or start the study under another --name"
        )


def _directions(names: Sequence[str]) -> list[StudyDirection]:
    from optuna.study import StudyDirection

    return [StudyDirection[name.upper()] for name in names]
