"""The declared search space: each hyperparameter a range, a list of choices, or one fixed value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from tuner.errors import SpecError, UsageError
from tuner.sections import nearest

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Scalar = bool | int | float | str | None


class Suggests(Protocol):
    """What values are drawn from: an Optuna trial, or what stands in for one."""

    def suggest_categorical(self, name: str, choices: Sequence[Any], /) -> Any: ...
    def suggest_int(self, name: str, low: int, high: int, /, *, step: int = 1, log: bool = False) -> int: ...
    def suggest_float(
        self, name: str, low: float, high: float, /, *, step: float | None = None, log: bool = False
    ) -> float: ...


_ON_STEP = 1e-8
"""A number is on a step that it misses by less than this share of one, as Optuna has it."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One hyperparameter of a space."""

    when: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    """It is searched only while every parameter named here has one of these values."""

    def to_json(self) -> Any:
        """Return what a study file would hold for it."""
        raise TypeError(type(self).__name__)

    def distribution(self) -> BaseDistribution:
        """Return what Optuna draws it from."""
        raise TypeError(type(self).__name__)

    def contains(self, other: Parameter) -> bool:
        """Whether every value of ``other`` is a value of this one, drawn in the same way."""
        raise TypeError(type(self).__name__)

    def holds(self, fixed: Fixed) -> bool:
        """Whether the one value is drawn here too, while the same other parameters call for it."""
        try:
            self.take(fixed.value)
        except ValueError:
            return False
        return self.when == fixed.when

    def take(self, value: Scalar) -> Scalar:
        """Return ``value`` as it is drawn: 1 of a range of fractions as 1.0.

        Raises:
            ValueError: when it never is, with what may be.
        """
        raise TypeError(type(self).__name__)

    def _with_when(self, values: dict[str, Any]) -> dict[str, Any]:
        if self.when:
            values["when"] = {name: list(allowed) for name, allowed in self.when.items()}
        return values


@dataclass(frozen=True, kw_only=True)
class Range(Parameter):
    """Numbers from ``low`` to ``high``, both included; whole numbers when ``integer``."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    integer: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError(f"range {self.low}..{self.high} must be finite")
        if self.low > self.high:
            raise ValueError(f"range {self.low:g}..{self.high:g} is inverted; write {self.high:g}..{self.low:g}")
        if self.low == self.high:
            raise ValueError(f"range {self.low:g}..{self.high:g} is empty; write the one value {self.low:g} instead")
        if self.log and self.low <= 0:
            raise ValueError(f"range {self.low:g}..{self.high:g} is logarithmic, so it must start above 0")
        if self.step is not None and not 0 < self.step < math.inf:
            raise ValueError(f"step {self.step:g} must be a finite number above 0")
        if self.log and self.step is not None:
            raise ValueError("a logarithmic range takes no step")
        if self.integer and any(v != int(v) for v in (self.low, self.high, self.step or 1)):
            raise ValueError(f"range {self.low:g}..{self.high:g} must be of whole numbers")

    def to_json(self) -> dict[str, Any]:
        cast = int if self.integer else float
        values: dict[str, Any] = {"low": cast(self.low), "high": cast(self.high), "log": self.log}
        if self.step is not None:
            values["step"] = cast(self.step)
        return self._with_when(values)

    def contains(self, other: Parameter) -> bool:
        if isinstance(other, Fixed):
            return self.holds(other)
        same = isinstance(other, Range) and (other.log, other.step, other.integer, other.when) == (
            self.log,
            self.step,
            self.integer,
            self.when,
        )
        return same and isinstance(other, Range) and self.low <= other.low and other.high <= self.high

    def take(self, value: Scalar) -> Scalar:
        if not _is_number(value):
            raise ValueError(f"is no number of {_show(self)}")
        if not self.low <= value <= self.high:
            raise ValueError(f"is not in {_show(self)}")
        nearest = self.nearest(value)
        if self.integer and value != int(value):
            raise ValueError(f"is no whole number of {_show(self)}")
        if self.step is not None and abs(value - nearest) > _ON_STEP * self.step:
            raise ValueError(f"is on no step of {_show(self)}; the nearest is {nearest:g}")
        return nearest

    def nearest(self, value: float) -> float:
        """Return the number of the range that is nearest to ``value``: whole, or on its step, where it has these."""
        inside = min(max(value, self.low), self.high)
        if self.step is not None:
            last = math.floor((self.high - self.low) / self.step + _ON_STEP)
            inside = min(self.low + min(round((inside - self.low) / self.step), last) * self.step, self.high)
        return round(inside) if self.integer else float(inside)

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.integer:
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(float(self.low), float(self.high), log=self.log, step=self.step)


@dataclass(frozen=True, kw_only=True)
class Choices(Parameter):
    """One of a list of values that have no order."""

    choices: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        if not self.choices:
            raise ValueError("the list of choices is empty")
        if len(set(map(repr, self.choices))) != len(self.choices):
            raise ValueError(f"choices {list(self.choices)} name a value twice")

    def to_json(self) -> Any:
        return self._with_when({"choices": list(self.choices)}) if self.when else list(self.choices)

    def contains(self, other: Parameter) -> bool:
        return self == other or (isinstance(other, Fixed) and self.holds(other))

    def take(self, value: Scalar) -> Scalar:
        for choice in self.choices:
            if _means(value, choice):
                return choice
        raise ValueError(f"is none of {', '.join(map(str, self.choices))}")

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.choices)


@dataclass(frozen=True, kw_only=True)
class Fixed(Parameter):
    """One value; nothing is searched."""

    value: Scalar

    def to_json(self) -> Any:
        return self._with_when({"value": self.value}) if self.when else self.value

    def contains(self, other: Parameter) -> bool:
        return self == other

    def take(self, value: Scalar) -> Scalar:
        if not _means(value, self.value):
            raise ValueError(f"is not {self.value!r}, to which [space] fixes it")
        return self.value


@dataclass(frozen=True)
class Space:
    """The hyperparameters of a study by name, parents before the parameters that depend on them."""

    parameters: Mapping[str, Parameter]
    usual: Mapping[str, Scalar] = field(default_factory=dict, compare=False)
    """The usual configuration: values known to do well, of what is searched and has one, as they are drawn.

    Of those it is made with, numbers are brought into their ranges; what is none of its choices, or ruled out by
    another value, is left out.
    """

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", _parents_first(self.parameters))
        object.__setattr__(self, "usual", _fitting(self.usual, self.parameters))

    def __iter__(self) -> Iterator[str]:
        return iter(self.parameters)

    def __getitem__(self, name: str) -> Parameter:
        return self.parameters[name]

    @property
    def searched(self) -> dict[str, Parameter]:
        """Those that are searched: everything but fixed values."""
        return {name: p for name, p in self.parameters.items() if not isinstance(p, Fixed)}

    def suggest(self, trial: Suggests) -> dict[str, Any]:
        """Return a value for every parameter that is active in ``trial``, drawing the searched ones from it."""
        values: dict[str, Any] = {}
        for name, parameter in self.parameters.items():
            if any(values.get(parent) not in allowed for parent, allowed in parameter.when.items()):
                continue
            if isinstance(parameter, Fixed):
                values[name] = parameter.value
            elif isinstance(parameter, Choices):
                values[name] = trial.suggest_categorical(name, parameter.choices)
            elif isinstance(parameter, Range) and parameter.integer:
                low, high, step = int(parameter.low), int(parameter.high), int(parameter.step or 1)
                values[name] = trial.suggest_int(name, low, high, step=step, log=parameter.log)
            elif isinstance(parameter, Range):
                low_, high_ = float(parameter.low), float(parameter.high)
                values[name] = trial.suggest_float(name, low_, high_, step=parameter.step, log=parameter.log)
        return values

    def configuration(self, params: Mapping[str, Any], whose: str) -> dict[str, Any]:
        """Return the values of all parameters that were active in a trial which had these ``params``.

        Raises:
            UsageError: when one is missing, and so nobody can tell what the trial had; it names ``whose`` they are.
        """
        try:
            return self.suggest(_Given(params))
        except KeyError as error:
            raise UsageError(f"{whose} has no value of '{error.args[0]}', which the study searches") from None

    def take(self, configuration: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Return the values of a configuration, which may be of some parameters alone, as they are drawn.

        What is fixed is left out: it is never drawn.

        Raises:
            ValueError: for a name that is not in the space, a value that it never has, or a parameter that the
                configuration itself rules out; with the name, the value and what may be.
        """
        for name in configuration:
            if name not in self.parameters:
                hint = nearest(name, self.parameters) or f"; known: {', '.join(self.parameters)}"
                raise ValueError(f"hyperparameter '{name}' is not in the space{hint}")
        held: dict[str, Scalar] = {}
        for name, parameter in self.parameters.items():
            parent = _rules_out(held, parameter)
            if parent is not None:
                held[name] = None  # as suggest() has it: what depends on this one is ruled out too
            elif isinstance(parameter, Fixed):
                held[name] = parameter.value
            if name not in configuration:
                continue
            written = f"{name} = {configuration[name]!r}"
            if parent is not None:
                allowed = " or ".join(map(str, parameter.when[parent]))
                raise ValueError(f"{written} is for {parent} {allowed}, and here it is {held[parent]}; leave it out")
            try:
                held[name] = parameter.take(configuration[name])
            except ValueError as error:
                raise ValueError(f"{written} {error}") from None
        return {name: held[name] for name in configuration if name in self.searched}

    def grid(self, *, points: int = 3) -> dict[str, list[Scalar]]:
        """Return a grid over the space: every choice, and ``points`` values of each range (all of a short one)."""
        return {name: _points(parameter, points) for name, parameter in self.searched.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the ``[space]`` table of a study file."""
        return {name: parameter.to_json() for name, parameter in self.parameters.items()}


class _Given:
    """What stands in for a trial that has had its parameters."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._params = params

    def _value(self, name: str, /, *_: Any, **__: Any) -> Any:
        return self._params[name]

    suggest_categorical = suggest_int = suggest_float = _value


def _rules_out(held: Mapping[str, Scalar], parameter: Parameter) -> str | None:
    """Return the parameter whose value makes another one inactive, as far as values are known."""
    return next((name for name, allowed in parameter.when.items() if name in held and held[name] not in allowed), None)


def _fitting(values: Mapping[str, Scalar], parameters: Mapping[str, Parameter]) -> dict[str, Scalar]:
    held: dict[str, Scalar] = {}
    fitting: dict[str, Scalar] = {}
    for name, parameter in parameters.items():
        value = values.get(name)
        if _rules_out(held, parameter) is not None:
            held[name] = None
        elif isinstance(parameter, Fixed):
            held[name] = parameter.value
        elif isinstance(parameter, Range) and _is_number(value):
            held[name] = fitting[name] = parameter.nearest(value)
        elif isinstance(parameter, Choices) and name in values and any(_means(value, one) for one in parameter.choices):
            held[name] = fitting[name] = parameter.take(value)
    return fitting


def _is_number(value: Scalar) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _means(written: Scalar, value: Scalar) -> bool:
    """Whether a study file that holds ``written`` means ``value``: TOML has no null, and its true is no 1."""
    if value is None:
        return written in (None, "None")
    return written == value and isinstance(written, bool) == isinstance(value, bool)


def _parents_first(parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
    ordered: dict[str, Parameter] = {}
    waiting = dict(parameters)
    while waiting:
        ready = [name for name, p in waiting.items() if all(parent not in waiting for parent in p.when)]
        if not ready:
            raise SpecError(
                f"[space]: {', '.join(sorted(waiting))} depend on each other in a circle; remove one 'when'"
            )
        for name in ready:
            parameter = waiting.pop(name)
            for parent in parameter.when:
                if parent not in parameters:
                    hint = nearest(parent, parameters)
                    raise SpecError(f"[space] {name}: when names '{parent}', which is not in the space{hint}")
            ordered[name] = parameter
    return ordered


def _points(parameter: Parameter, points: int) -> list[Scalar]:
    if isinstance(parameter, Choices):
        return list(parameter.choices)
    if not isinstance(parameter, Range):
        return []
    low, high = parameter.low, parameter.high
    if parameter.step is not None or (parameter.integer and not parameter.log and high - low < points):
        step = parameter.step or 1
        count = int((high - low) / step + 1e-9) + 1
        values = [low + i * step for i in range(count)]
    elif parameter.log:
        values = [low * (high / low) ** (i / (points - 1)) for i in range(points)]
    else:
        values = [low + (high - low) * i / (points - 1) for i in range(points)]
    if parameter.integer:
        return list(dict.fromkeys(round(value) for value in values))
    return list(values)


def widened(old: Space, new: Space) -> list[str]:
    """Return a line for each parameter in which ``new`` is neither ``old`` nor wider; none: a study may go on."""
    lines = []
    for name, parameter in old.parameters.items():
        if name not in new.parameters:
            lines.append(f"space.{name}: {_show(parameter)} → absent{_comes_with(parameter)}")
        elif not new[name].contains(parameter):
            rule = "a list of choices stays as it is" if isinstance(parameter, Choices) else "it may only become wider"
            lines.append(f"space.{name}: {_show(parameter)} → {_show(new[name])} ({rule})")
    for name, parameter in new.parameters.items():
        if name not in old.parameters:
            lines.append(f"space.{name}: absent → {_show(parameter)}{_comes_with(parameter)}")
    return lines


def _comes_with(parameter: Parameter) -> str:
    """Why a parameter is there or not, though nobody wrote it: another one's values call for it."""
    return f" (it comes with {', '.join(parameter.when)}, whose values must stay)" if parameter.when else ""


def _show(parameter: Parameter) -> str:
    if isinstance(parameter, Range):
        kind = ":log" if parameter.log else f":step={parameter.step:g}" if parameter.step is not None else ""
        return f"{parameter.low:g}..{parameter.high:g}{kind}"
    if isinstance(parameter, Choices):
        return str(list(parameter.choices))
    return repr(replace(parameter).value) if isinstance(parameter, Fixed) else "?"
