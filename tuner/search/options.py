"""Whether the options of a sampler or pruner are ones it takes, each of the kind it wants, as its signature has it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from tuner.errors import SpecError
from tuner.sections import nearest

_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "bool": ((bool,), "true or false"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "str": ((str,), "a text"),
    "list": ((list, tuple), "a list"),
    "dict": ((Mapping,), "a table"),
    "Mapping": ((Mapping,), "a table"),
}
"""What a study file can hold, by the name in an annotation: the types of its values, and words for it."""


def check_options(
    made: Callable[..., Any], options: Mapping[str, Any], *, name: str, inner: str | None, where: str
) -> None:
    """Check the options of what ``made`` makes, which is called ``name``.

    ``inner`` is an argument that wants a sampler or pruner; here it is named, and has its options beside it.

    Raises:
        SpecError: naming an option that is unknown, missing or of the wrong kind, and what it wants.
    """
    wanted = {parameter.name: _kinds(parameter) for parameter in inspect.signature(made).parameters.values()}
    if inner is not None:
        wanted |= {inner: ["str"], f"{inner}_options": ["dict"]}
    for option, value in options.items():
        if option not in wanted:
            hint = nearest(option, wanted) or f"; known: {', '.join(sorted(wanted))}"
            raise SpecError(f"{where}: unknown option '{option}' of {name}{hint}")
        if not wanted[option]:
            raise SpecError(f"{where}: {option} = {value!r}: {name} wants an object of Python there; leave it out")
        if not any(_is(value, kind) for kind in wanted[option]):
            raise SpecError(f"{where}: {option} = {value!r} must be {_words(wanted[option])}")
    for parameter in inspect.signature(made).parameters.values():
        if parameter.default is parameter.empty and parameter.name not in (*options, inner):
            kind = _words(wanted[parameter.name])
            raise SpecError(f"{where}: '{parameter.name}' is missing: {name} needs it, {kind}")


def _kinds(parameter: inspect.Parameter) -> list[str]:
    """Return the names of :data:`_KINDS` in a parameter's annotation (``dict[str, Any] | None``)."""
    written = str(parameter.annotation)
    while (bare := re.sub(r"\[[^\[\]]*\]", "", written)) != written:  # what is inside brackets does not matter
        written = bare
    return [kind for kind in re.split(r"[^\w.]+", written) if kind in _KINDS]


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _KINDS[kind][0]) and (kind == "bool" or not isinstance(value, bool))


def _words(kinds: list[str]) -> str:
    return " or ".join(_KINDS[kind][1] for kind in kinds)
