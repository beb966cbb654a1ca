"""What may stand in a space: every hyperparameter's legal values and the range it is searched in by default."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tuner.errors import SpecError, UsageError
from tuner.parsing import parse_parameter
from tuner.sections import nearest
from tuner.space import Choices, Fixed, Parameter, Range, Scalar, Space
from tuner.training.recipe import OPTIMIZERS, SCHEDULES


@dataclass(frozen=True, kw_only=True)
class Hyperparameter:
    """A hyperparameter that an objective or the engine understands."""

    name: str
    default: Parameter
    """How it is searched (or to what it is fixed) where the study file does not say."""
    description: str
    choices: tuple[Scalar, ...] | None = None
    """All legal values, when it is one of a list."""
    minimum: float | None = None
    maximum: float | None = None
    """The legal numbers, both ends included."""
    usual: Scalar = None
    """A value known to do well: the study's first trial has it, where the space allows.

    Of one that is fixed by default it is that value, unless said otherwise."""


def build_space(known: Sequence[Hyperparameter], written: Mapping[str, Any], *, where: str) -> Space:
    """Return the default space of ``known`` with what a study file's ``[space]`` table wrote in its place.

    It has the usual values of ``known``.

    Raises:
        SpecError: for an unknown name, a range or choice that is not legal, naming ``where``, the key and the value.
        UsageError: when two of ``known`` have one name.
    """
    catalogue = {hyper.name: hyper for hyper in known}
    for hyper in known:
        if hyper is not catalogue[hyper.name]:
            raise UsageError(
                f"hyperparameters(): '{hyper.name}' is declared twice ({hyper.description}; "
                f"{catalogue[hyper.name].description}); give one another name, or leave one out"
            )
    parameters = {hyper.name: hyper.default for hyper in known}
    for name, value in written.items():
        if name not in catalogue:
            hint = nearest(name, catalogue) or f"; known: {', '.join(catalogue)}"
            raise SpecError(f"{where} [space]: unknown hyperparameter '{name}'{hint}")
        try:
            parameters[name] = parse_parameter(value, default=_searched(catalogue[name]))
            _check_legal(catalogue[name], parameters[name])
        except ValueError as error:
            raise SpecError(f"{where} [space] {name} = {_short(value)}: {error}") from None
        _check_conditions(name, parameters[name], catalogue, where)
    fixed = {hyper.name: hyper.default.value for hyper in known if isinstance(hyper.default, Fixed)}
    usual = {hyper.name: hyper.usual for hyper in known if hyper.usual is not None}
    return Space(_without_impossible(parameters), usual=fixed | usual)


def _check_conditions(name: str, parameter: Parameter, catalogue: Mapping[str, Hyperparameter], where: str) -> None:
    for parent, values in parameter.when.items():
        legal = catalogue[parent].choices if parent in catalogue else None
        for value in values if legal is not None else ():
            if value not in (legal or ()):
                hint = nearest(str(value), map(str, legal or ())) or f"; known: {_listed(legal or ())}"
                raise SpecError(f"{where} [space] {name}: when {parent} = {value!r}, which it never is{hint}")


def _searched(hyper: Hyperparameter) -> Parameter:
    """The default, or for one that is fixed by default, a range of the same kind of number to inherit from."""
    default = hyper.default
    number = isinstance(default, Fixed) and isinstance(default.value, int | float)
    if isinstance(default, Fixed) and number and not isinstance(default.value, bool) and hyper.minimum is not None:
        high = hyper.maximum if hyper.maximum is not None else max(1.0, hyper.minimum * 10 + 1)
        return Range(low=hyper.minimum, high=high, integer=isinstance(default.value, int), when=default.when)
    return default


def _check_legal(hyper: Hyperparameter, parameter: Parameter) -> None:
    if hyper.choices is not None:
        if isinstance(parameter, Range):
            raise ValueError(f"it is one of a list: {_listed(hyper.choices)}")
        for value in _values(parameter):
            if value not in hyper.choices:
                hint = nearest(str(value), map(str, hyper.choices))
                raise ValueError(f"unknown value {value!r}{hint or '; known: ' + _listed(hyper.choices)}")
        return
    optional = isinstance(hyper.default, Fixed) and hyper.default.value is None
    for value in _values(parameter):
        if value is not None or not optional:
            _check_number(hyper, value)


def _values(parameter: Parameter) -> tuple[Scalar, ...]:
    if isinstance(parameter, Range):
        return (parameter.low, parameter.high)
    if isinstance(parameter, Choices):
        return parameter.choices
    return (parameter.value,) if isinstance(parameter, Fixed) else ()


def _check_number(hyper: Hyperparameter, number: Scalar) -> None:
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ValueError(f"{number!r} is not a number")
    if not math.isfinite(number):
        raise ValueError(f"{number} is not finite")
    if _is_integer(hyper) and number != int(number):
        raise ValueError(f"{number} must be a whole number")
    if hyper.minimum is not None and number < hyper.minimum:
        raise ValueError(f"{number:g} is below the least legal value {hyper.minimum:g}")
    if hyper.maximum is not None and number > hyper.maximum:
        raise ValueError(f"{number:g} is above the greatest legal value {hyper.maximum:g}")


def _is_integer(hyper: Hyperparameter) -> bool:
    if isinstance(hyper.default, Range):
        return hyper.default.integer
    return all(isinstance(value, int) and not isinstance(value, bool) for value in _values(hyper.default))


def _without_impossible(parameters: dict[str, Parameter]) -> dict[str, Parameter]:
    """Drop what can never be active: momentum, say, in a space whose optimizer is fixed to Adam."""
    kept = dict(parameters)
    for name, parameter in parameters.items():
        for parent, allowed in parameter.when.items():
            held = parameters.get(parent)
            values = held.choices if isinstance(held, Choices) else (held.value,) if isinstance(held, Fixed) else None
            if values is not None and not set(values) & set(allowed):
                kept.pop(name, None)
    return kept


def _listed(values: Sequence[Scalar]) -> str:
    return ", ".join(str(value) for value in values)


def _short(value: Any) -> str:
    shown = repr(value) if not isinstance(value, str) else value
    return shown if len(shown) <= 60 else shown[:57] + "…"


TRAINING: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        name="learning_rate",
        default=Range(low=1e-4, high=1e-1, log=True),
        minimum=1e-12,
        maximum=100,
        description="step size of the optimizer, at the top of its schedule",
        usual=3e-3,
    ),
    Hyperparameter(
        name="optimizer",
        default=Choices(choices=("sgd", "rmsprop", "adagrad", "adam", "adamw")),
        choices=OPTIMIZERS,
        description="the update rule; gradient_descent takes the whole training part at once, whatever batch_size says",
        usual="adam",
    ),
    Hyperparameter(
        name="momentum",
        default=Range(low=0.0, high=0.99, when={"optimizer": ("sgd", "gradient_descent")}),
        minimum=0,
        maximum=0.9999,
        description="momentum of SGD and gradient descent",
        usual=0.9,
    ),
    Hyperparameter(
        name="nesterov",
        default=Fixed(value=False, when={"optimizer": ("sgd", "gradient_descent")}),
        choices=(False, True),
        description="look ahead by the momentum before taking the gradient (Nesterov)",
    ),
    Hyperparameter(
        name="batch_size",
        default=Choices(choices=(16, 32, 64, 128)),
        minimum=1,
        description="samples a step",
        usual=32,
    ),
    Hyperparameter(
        name="schedule",
        default=Choices(choices=("constant", "cosine", "one_cycle", "reduce_on_plateau")),
        choices=SCHEDULES,
        description="how the learning rate changes over the epochs",
        usual="one_cycle",
    ),
    Hyperparameter(
        name="warmup",
        default=Range(low=0.0, high=0.3, when={"schedule": ("cosine",)}),
        minimum=0,
        maximum=1,
        description="share of the run in which the learning rate rises from 0, before the schedule",
        usual=0.1,
    ),
    Hyperparameter(
        name="step_size",
        default=Fixed(value=10, when={"schedule": ("step",)}),
        minimum=1,
        description="epochs between two steps of the step schedule",
    ),
    Hyperparameter(
        name="gamma",
        default=Fixed(value=None, when={"schedule": ("step", "exponential", "reduce_on_plateau")}),
        minimum=1e-6,
        maximum=1,
        description="factor of each step (0.1), each epoch of the exponential (0.95), each reduction on a plateau",
    ),
    Hyperparameter(
        name="plateau_patience",
        default=Fixed(value=5, when={"schedule": ("reduce_on_plateau",)}),
        minimum=0,
        description="epochs without a lower validation loss that reduce_on_plateau bears",
    ),
    Hyperparameter(
        name="l1",
        default=Range(low=1e-7, high=1e-3, log=True),
        minimum=0,
        description="strength of the L1 penalty on the weights, added to the loss",
        usual=1e-7,
    ),
    Hyperparameter(
        name="l2",
        default=Range(low=1e-7, high=1e-2, log=True),
        minimum=0,
        description="strength of the L2 penalty on the weights, added to the loss",
        usual=1e-6,
    ),
    Hyperparameter(
        name="weight_decay",
        default=Fixed(value=0.0),
        minimum=0,
        maximum=1,
        description="decoupled weight decay (AdamW): weights shrink by learning rate × this, apart from the gradient",
    ),
    Hyperparameter(
        name="data_fraction",
        default=Fixed(value=1.0),
        minimum=1e-6,
        maximum=1,
        description="fraction of the training part that is used",
    ),
    Hyperparameter(
        name="gradient_clip",
        default=Fixed(value=None),
        minimum=1e-6,
        description="largest Euclidean norm of the gradient; none: no limit",
    ),
    Hyperparameter(
        name="frozen",
        default=Fixed(value=0),
        minimum=0,
        description="lowest layers that keep the weights they begin with; the head always learns",
    ),
    Hyperparameter(
        name="layer_decay",
        default=Fixed(value=1.0),
        minimum=1e-3,
        maximum=1,
        description="learning rate of a layer as a share of that of the layer above it (discriminative fine-tuning)",
    ),
    Hyperparameter(
        name="beta1",
        default=Fixed(value=0.9, when={"optimizer": ("adam", "adamw", "adamax", "nadam", "radam", "lion")}),
        minimum=0,
        maximum=0.99999,
        description="how slowly Adam and its kin forget the gradient",
    ),
    Hyperparameter(
        name="beta2",
        default=Fixed(value=None, when={"optimizer": ("adam", "adamw", "adamax", "nadam", "radam", "lion")}),
        minimum=0,
        maximum=0.99999,
        description="how slowly they forget its square: 0.999 (Lion 0.99) unless given",
    ),
    Hyperparameter(
        name="alpha",
        default=Fixed(value=None, when={"optimizer": ("rmsprop", "adadelta")}),
        minimum=0,
        maximum=0.99999,
        description="how slowly the squared gradient is forgotten: RMSprop 0.99, Adadelta 0.9 unless given",
    ),
)


def with_training(
    network: Sequence[Hyperparameter],
    defaults: Mapping[str, Parameter] | None = None,
    usual: Mapping[str, Scalar] | None = None,
) -> tuple[Hyperparameter, ...]:
    """Return a network's hyperparameters amid those of training: the learning rate goes first.

    ``defaults`` are how some of training's are searched unless a person says otherwise, ``usual`` what does well there.
    """
    searched, known = defaults or {}, usual or {}
    training = [
        replace(hyper, default=searched.get(hyper.name, hyper.default), usual=known.get(hyper.name, hyper.usual))
        for hyper in TRAINING
    ]
    first = [hyper for hyper in training if hyper.name == "learning_rate"]
    return (*first, *network, *(hyper for hyper in training if hyper not in first))
