"""Optuna's samplers and pruners by name, with their options checked."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from tuner.errors import SpecError
from tuner.search.options import check_options
from tuner.sections import nearest
from tuner.space import Range, Scalar

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

    from tuner.space import Space
    from tuner.spec import Search

T = TypeVar("T")

SAMPLERS = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "nsga2": "NSGAIISampler",
    "nsga3": "NSGAIIISampler",
    "qmc": "QMCSampler",
    "grid": "GridSampler",
    "brute_force": "BruteForceSampler",
    "partial_fixed": "PartialFixedSampler",
}
PRUNERS = {
    "none": "NopPruner",
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "successive_halving": "SuccessiveHalvingPruner",
    "hyperband": "HyperbandPruner",
    "threshold": "ThresholdPruner",
    "patient": "PatientPruner",
    "wilcoxon": "WilcoxonPruner",
}
INNER = {"partial_fixed": "base_sampler", "patient": "wrapped_pruner"}
"""Those around another one: the option that names it; ``base_sampler_options`` and the like are its own options."""
PROPOSE_WHOLE = frozenset({"tpe", "gp"})
"""Samplers that propose by a model, a whole configuration at once."""
LEARN = PROPOSE_WHOLE | {"cmaes", "nsga2", "nsga3"}
"""Samplers that learn from what was tried: they begin with the usual configuration."""
ENUMERATE = frozenset({"grid", "brute_force"})
"""Samplers that try every combination."""
MULTI_OBJECTIVE_SAMPLERS = frozenset({"tpe", "random", "gp", "nsga2", "nsga3", "qmc", "grid", "brute_force"})

_WARMUP_SHARE = 0.2
"""The default pruner leaves a trial alone for this share of its epochs: some schedules start slowly."""


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """Names of sampler and pruner with every option, ready to be made."""

    sampler: str
    sampler_options: Mapping[str, Any]
    pruner: str
    pruner_options: Mapping[str, Any]
    first: tuple[Mapping[str, Scalar], ...] = ()
    """The configurations that the first trials have, by the trials' numbers."""
    usual: bool = False
    """Whether it is the usual configuration alone, and not a person's own."""

    @property
    def combinations(self) -> int | None:
        """How many trials a grid has, which gives each its own; ``None`` where that is not known."""
        return math.prod(map(len, self.sampler_options["search_space"].values())) if self.sampler == "grid" else None


def resolve(search: Search, space: Space | None, *, objectives: int, epochs: int | None, where: str) -> Strategy:
    """Return what ``[search]`` means for a study with so many objectives.

    ``auto`` is TPE (the least regret on the tables we measured), and the median pruner where there is one objective.
    ``space`` is what a grid is laid over and the first configurations lie in, ``epochs`` the most that Hyperband hands
    out; both are ``None`` for an objective that defines them by running.

    Raises:
        SpecError: for an unknown name or option, a sampler that cannot do what the study needs, or a first
            configuration that is not in the space.
    """
    place = f"{where} [search]"
    sampler = "tpe" if search.sampler == "auto" else _known(search.sampler, SAMPLERS, f"{place} sampler")
    default_pruner = "median" if objectives == 1 else "none"
    pruner = default_pruner if search.pruner == "auto" else _known(search.pruner, PRUNERS, f"{place} pruner")
    if objectives > 1 and pruner != "none":
        raise SpecError(f"{place}: pruner = '{pruner}' needs one metric, the objective has {objectives}; write 'none'")
    if objectives > 1 and sampler not in MULTI_OBJECTIVE_SAMPLERS:
        known = ", ".join(sorted(MULTI_OBJECTIVE_SAMPLERS))
        raise SpecError(f"{place}: sampler = '{sampler}' needs one metric, the objective has {objectives}; try {known}")
    sampler_options = dict(search.sampler_options)
    pruner_options = dict(search.pruner_options)
    if search.pruner == "auto" and pruner == "median":
        pruner_options.setdefault("n_warmup_steps", round(_WARMUP_SHARE * (epochs or 0)))
    if pruner == "hyperband" and epochs is not None:
        pruner_options.setdefault("max_resource", epochs)
    if sampler == "grid" and "search_space" not in sampler_options:
        points = sampler_options.pop("points", 3)
        if not isinstance(points, int) or points < 2:
            raise SpecError(f"{place} sampler_options: points = {points!r} must be a whole number of at least 2")
        if space is None:
            raise SpecError(f"{place} sampler_options: 'search_space' is missing: this objective declares no space")
        sampler_options["search_space"] = space.grid(points=points)
    strategy = Strategy(
        sampler=sampler,
        sampler_options=sampler_options,
        pruner=pruner,
        pruner_options=pruner_options,
        first=_first(search, space, sampler, place),
        usual=search.first is None,
    )
    if sampler == "brute_force" and space is not None:
        _check_countable(space, place)
    _try_to_make(strategy, place)
    return strategy


def _check_countable(space: Space, place: str) -> None:
    from tuner.search.countable import endless

    for name, parameter in space.searched.items():
        if isinstance(parameter, Range) and not parameter.integer and parameter.step is None:
            raise SpecError(f"{place}: {endless(name, parameter.low, parameter.high)} (sampler_options.points of each)")


def _first(search: Search, space: Space | None, sampler: str, place: str) -> tuple[Mapping[str, Scalar], ...]:
    """Return a person's first configurations, else the usual one where there is one."""
    if search.first is None:
        return (space.usual,) if space is not None and space.usual and sampler in LEARN else ()
    if search.first and sampler in ENUMERATE:
        raise SpecError(
            f"{place} first: sampler = '{sampler}' tries every combination, in its own order; leave one of both out"
        )
    first: list[Mapping[str, Scalar]] = []
    for index, written in enumerate(search.first):
        try:
            for name, value in written.items():
                if not isinstance(value, Scalar):
                    raise ValueError(f"{name} = {value!r} is no plain value")
            first.append(written if space is None else space.take(written))
        except ValueError as error:
            raise SpecError(f"{place} first[{index}]: {error}") from None
    return tuple(first)


def make_sampler(strategy: Strategy, *, seed: int) -> BaseSampler:
    """Return Optuna's sampler, drawing from ``seed``, that gives the first trials their configurations.

    One with a model proposes nothing that is in flight.
    """
    import optuna

    from tuner.search.countable import CountableSampler
    from tuner.search.distinct import DistinctSampler
    from tuner.search.first import FirstSampler

    if strategy.first:
        rest = make_sampler(replace(strategy, first=()), seed=seed)
        return FirstSampler(rest, strategy.first, note_unused=not strategy.usual)
    options = dict(strategy.sampler_options)
    cls: type[BaseSampler] = getattr(optuna.samplers, SAMPLERS[strategy.sampler])
    if strategy.sampler == "brute_force":
        cls = CountableSampler
    if strategy.sampler == "partial_fixed":
        base = make_sampler(
            Strategy(
                sampler=options.pop("base_sampler", "tpe"),
                sampler_options=options.pop("base_sampler_options", {}),
                pruner="none",
                pruner_options={},
            ),
            seed=seed,
        )
        return _made(cls, {"base_sampler": base, **options})
    if "seed" in inspect.signature(cls).parameters:
        options.setdefault("seed", seed)
    made = _made(cls, options)
    return DistinctSampler(made, seed=seed) if strategy.sampler in PROPOSE_WHOLE else made


def _made(cls: Callable[..., T], options: Mapping[str, Any]) -> T:
    """Make a sampler or pruner; that Optuna calls some of them experimental is no news to who asked for one."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return cls(**options)


def reseed(sampler: BaseSampler, seed: int) -> None:
    """Make what ``sampler`` draws next depend on ``seed`` alone, whichever worker asks and whatever it drew before.

    Optuna offers only a reseeding from the operating system; this reaches for the generators that its samplers, and
    the samplers inside them, hold. A quasi-random sequence is left alone: it is the same in every worker already.
    """
    from optuna.samplers import BaseSampler
    from optuna.samplers._lazy_random_state import LazyRandomState

    for value in vars(sampler).values():
        if isinstance(value, LazyRandomState):
            value.rng.seed(seed)
        elif isinstance(value, BaseSampler):
            reseed(value, seed)


def make_pruner(strategy: Strategy) -> BasePruner:
    """Return the pruner; its decisions are Optuna's."""
    import optuna

    options = dict(strategy.pruner_options)
    cls: type[BasePruner] = getattr(optuna.pruners, PRUNERS[strategy.pruner])
    if strategy.pruner == "patient":
        inner, inner_options = options.pop("wrapped_pruner", None), options.pop("wrapped_pruner_options", {})
        options["wrapped_pruner"] = inner and make_pruner(
            Strategy(sampler="random", sampler_options={}, pruner=inner, pruner_options=inner_options)
        )
    return _made(cls, options)


def _known(name: str, table: Mapping[str, str], place: str) -> str:
    if name not in table:
        hint = nearest(name, table) or f"; known: auto, {', '.join(table)}"
        raise SpecError(f"{place} = '{name}' is not known{hint}")
    return name


def _check(kind: str, name: str, options: Mapping[str, Any], where: str) -> None:
    import optuna

    table, module = (SAMPLERS, optuna.samplers) if kind == "sampler" else (PRUNERS, optuna.pruners)
    inner = INNER.get(name)
    check_options(getattr(module, table[name]), options, name=name, inner=inner, where=where)
    if inner is not None and inner in options:
        named = _known(options[inner], table, f"{where}: {inner}")
        _check(kind, named, options.get(f"{inner}_options", {}), f"{where}.{inner}_options")


def _try_to_make(strategy: Strategy, place: str) -> None:
    """Make both once, so that a wrong option is met now and not in a worker."""
    _check("sampler", strategy.sampler, strategy.sampler_options, f"{place} sampler_options")
    _check("pruner", strategy.pruner, strategy.pruner_options, f"{place} pruner_options")
    for kind, make in (("sampler", lambda: make_sampler(strategy, seed=0)), ("pruner", lambda: make_pruner(strategy))):
        try:
            make()
        except ModuleNotFoundError as error:
            raise SpecError(f"{place}: the {kind} needs the package '{error.name}'; pip install it") from None
        except ImportError as error:
            raise SpecError(f"{place}: the {kind} cannot be used: {' '.join(str(error).split())}") from None
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise SpecError(f"{place} {kind}_options: {' '.join(str(error).split())}") from None
