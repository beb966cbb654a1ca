"""Study files to start from, written out of the models that check them: every key, what it means, its default."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuner.loading import import_objective
from tuner.sections import validate
from tuner.space import Choices, Fixed, Parameter, Range
from tuner.spec import Budget, EarlyStopping, ModelSection, Search, StudySpec, Training
from tuner.toml import toml
from tuner.trainable import Trainable

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from tuner.hyperparameters import Hyperparameter

_WIDTH = 100
_HEAD = """\
A study file of tuner: what is tuned, on which data, over which space, for how long.
A line like '#key = value' shows a default (or an example, where it says so): take the '#' away and change it.
`tuner check {file}` tries it, `tuner start {file}` runs it."""


def study_template(name: str, *, data: Mapping[str, Any], file: str, objective: str = "table") -> str:
    """Return a TOML study file of ``name`` that sets ``data`` in ``[data]`` and shows every other key with its default.

    ``file`` is what its comments call it; ``objective`` is the name or import path of a Trainable whose options and
    hyperparameters are shown.

    Raises:
        UsageError: when the objective is not known.
        TypeError: when it is a plain function: it has neither data nor space.
    """
    found, _ = import_objective(objective)
    if not (isinstance(found, type) and issubclass(found, Trainable)):
        raise TypeError(f"{objective} is no Trainable")
    known = found(found.Options(), validate(found.Data, data, where=f"{name} [data]"), seed=0).hyperparameters()
    lines = [
        *_prose(_HEAD.format(file=file)),
        "",
        f"name = {toml(name)}",
        *_field("seed", StudySpec.model_fields["seed"]),
        *_table("objective", found.Options, {"name": objective}),
        *_table("data", found.Data, data),
        *_space(known),
        *_table("training", Training, {}),
        *_table("training.early_stopping", EarlyStopping, {}),
        *_table("model", ModelSection, {}),
        *_table("search", Search, {}),
        *_table("budget", Budget, {"trials": Budget().trials}),
    ]
    return "\n".join(lines) + "\n"


def written(parameter: Parameter) -> str | None:
    """Return a parameter as TOML, as short as a person writes it; ``None`` for a value that is not set."""
    if isinstance(parameter, Range):
        ends = "..".join(_short(end, log=parameter.log) for end in (parameter.low, parameter.high))
        flags = ":log" * parameter.log + (f":step={_short(parameter.step)}" if parameter.step is not None else "")
        return f'"{ends}{flags}"'
    if isinstance(parameter, Choices):
        return toml(list(parameter.choices))
    return None if not isinstance(parameter, Fixed) or parameter.value is None else toml(parameter.value)


def _table(title: str, model: type[BaseModel], values: Mapping[str, Any]) -> Iterator[str]:
    """One table of the file: what ``values`` holds is set, the other fields of ``model`` are shown."""
    from pydantic import BaseModel

    yield ""
    yield f"[{title}]"
    for key in values:
        if key not in model.model_fields:
            yield f"{key} = {toml(values[key])}"
    for key, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        if not isinstance(default, BaseModel):
            yield from _field(key, field, values.get(key))


def _field(key: str, field: FieldInfo, value: Any = None) -> Iterator[str]:
    default = field.get_default(call_default_factory=True, validated_data={})
    about = field.description or ""
    if default is None and "default" not in about:
        about += " (default: none)"
    yield ""
    yield from _prose(about)
    shown = value if value is not None else default if default is not None else (field.examples or [1])[0]
    example = "  # an example" if value is None and default is None else ""
    yield f"{'' if value is not None else '#'}{key} = {toml(shown)}{example}"


def _space(known: Sequence[Hyperparameter]) -> Iterator[str]:
    yield ""
    yield "[space]"
    yield from _prose(
        'Each is a range ("1e-4..1e-1:log", "1..4", "0..1:step=0.1"), a list of choices, or one fixed value.'
    )
    for hyper in known:
        yield ""
        yield from _prose(_about(hyper))
        default = written(hyper.default)
        if default is not None:
            yield f"#{hyper.name} = {default}"


def _about(hyper: Hyperparameter) -> str:
    about = hyper.description if written(hyper.default) is not None else f"{hyper.name} (not set): {hyper.description}"
    if hyper.choices is not None and hyper.choices != (False, True):
        about += f"; of: {', '.join(map(str, hyper.choices))}"
    for parent, values in hyper.default.when.items():
        about += f"; only where {parent} is {' or '.join(map(str, values))}"
    return about


def _prose(text: str) -> list[str]:
    return [
        f"# {line}"
        for paragraph in text.splitlines()
        for line in textwrap.wrap(paragraph, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    ]


def _short(value: float, *, log: bool = False) -> str:
    """A number as a person writes it: 1e-4 rather than 0.0001."""
    if value != 0 and abs(value) < (1 if log else 1e-2):
        mantissa, _, exponent = f"{value:e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)
