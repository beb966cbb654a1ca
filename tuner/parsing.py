"""From what a study file writes for a hyperparameter to how it is searched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tuner.sections import nearest
from tuner.space import Choices, Fixed, Parameter, Range, Scalar

_RANGE = re.compile(r"^\s*(?P<low>[^:,\s]+?)\.\.(?P<high>[^:,\s]+?)(?P<flags>(:[a-z]+(=[^:]+)?)*)\s*$")


def parse_parameter(written: Any, *, default: Parameter | None = None) -> Parameter:
    """Return the parameter that a study file or ``-S space.name=…`` writes as ``written``.

    A number, text or boolean is a fixed value; a list, choices; ``"1e-4..1e-1:log"`` or ``{low, high, log, step}`` a
    range. What is not written (logarithmic, ``when``, an end of the range) is taken from ``default``.

    Raises:
        ValueError: with what is wrong, naming the value.
    """
    when = default.when if default is not None else {}
    if isinstance(written, Mapping):
        return _from_table(dict(written), default)
    if isinstance(written, str) and (match := _RANGE.match(written)):
        return _from_table(_from_text(match), default)
    if isinstance(written, list | tuple):
        if any(isinstance(value, dict | list) for value in written):
            raise ValueError(f"choices {list(written)} must be plain values")
        return Choices(choices=tuple(written), when=when) if len(written) != 1 else Fixed(value=written[0], when=when)
    if isinstance(written, Scalar):
        return Fixed(value=_as_default_kind(written, default), when=when)
    raise ValueError(f"{written!r} is no range, list or value; write e.g. '1e-4..1e-1:log', ['a', 'b'] or 0.1")


def _from_text(match: re.Match[str]) -> dict[str, Any]:
    table: dict[str, Any] = {"low": _number(match["low"]), "high": _number(match["high"])}
    for flag in filter(None, match["flags"].split(":")):
        name, _, value = flag.partition("=")
        if name in {"log", "linear"} and not value:
            table["log"] = name == "log"
        elif name == "step" and value:
            table["step"] = _number(value)
        else:
            raise ValueError(f"'{flag}' is not known after a range; known: log, linear, step=…")
    return table


def _from_table(table: dict[str, Any], default: Parameter | None) -> Parameter:
    known = {"low", "high", "log", "step", "choices", "value", "when"}
    for key in table:
        if key not in known:
            raise ValueError(f"unknown key '{key}'{nearest(key, known) or '; known: ' + ', '.join(sorted(known))}")
    when = _when(table["when"]) if "when" in table else (default.when if default is not None else {})
    if "choices" in table:
        if not isinstance(table["choices"], list | tuple):
            raise ValueError(f"choices {table['choices']!r} must be a list")
        return Choices(choices=tuple(table["choices"]), when=when)
    if "value" in table:
        return Fixed(value=_as_default_kind(table["value"], default), when=when)
    if isinstance(default, Range):
        table = {"low": default.low, "high": default.high, "log": default.log, **table}
        if default.step is not None and not table["log"]:
            table.setdefault("step", default.step)
    if "low" not in table or "high" not in table:
        raise ValueError("a range needs both 'low' and 'high'")
    ends = [table["low"], table["high"]] + ([table["step"]] if table.get("step") is not None else [])
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in ends):
        raise ValueError(f"range {table['low']!r}..{table['high']!r} must be of numbers")
    integer = default.integer if isinstance(default, Range) else all(isinstance(v, int) for v in ends)
    log = table.get("log") or False
    if not isinstance(log, bool):
        raise ValueError(f"log = {log!r} must be true or false")
    step = table.get("step")
    return Range(low=table["low"], high=table["high"], log=log, step=step, integer=integer, when=when)


def _when(written: Any) -> dict[str, tuple[Scalar, ...]]:
    if not isinstance(written, Mapping):
        raise ValueError(f"when = {written!r} must be a table such as {{optimizer = ['sgd']}}")
    return {k: tuple(v) if isinstance(v, list | tuple) else (v,) for k, v in written.items()}


def _number(text: str) -> float | int:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def _as_default_kind(value: Scalar, default: Parameter | None) -> Scalar:
    """A fixed whole number where a range of fractions is expected is that fraction."""
    plain_int = isinstance(value, int) and not isinstance(value, bool)
    if plain_int and isinstance(default, Range) and not default.integer:
        return float(value)  # type: ignore[arg-type]
    return value
