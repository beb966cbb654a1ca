"""Sections of a study file: frozen pydantic models, and their errors as one line a person can act on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from tuner.errors import SpecError
from tuner.spelling import nearest

__all__ = ["Section", "nearest", "validate"]


class Section(BaseModel):
    """A table of the study file. Unknown keys are refused; values cannot be changed after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, values: Any) -> Any:
        """One text where a list of them belongs is a list of it, as ``-S data.drop=name`` writes one."""
        if not isinstance(values, Mapping):
            return values
        single = {
            key: [value] if value != "" else []
            for key, value in values.items()
            if key in cls.model_fields
            and cls.model_fields[key].annotation == list[str]
            and isinstance(value, str | int | float)
        }
        return {**values, **single}


S = TypeVar("S", bound=BaseModel)


def validate(model: type[S], values: Mapping[str, Any], *, where: str) -> S:
    """Return ``model`` made of ``values``.

    Raises:
        SpecError: with one line that starts with ``where``, names the key and the value, and says what would be right.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise SpecError(_one_line(error, model, where)) from None


def _one_line(error: ValidationError, model: type[BaseModel], where: str) -> str:
    details = error.errors()
    first = details[0]
    path = [str(part) for part in first["loc"]]
    owner, known = _owner(model, path)
    table = ".".join(path[:-1])
    place = f"{where} [{table}]" if table else where
    key = path[-1] if path else ""
    if first["type"] == "extra_forbidden":
        hint = nearest(key, known) or f"; known: {', '.join(sorted(known))}"
        message = f"{place}: unknown key '{key}'{hint}"
    elif first["type"] == "missing":
        message = f"{place}: key '{key}' is missing"
    else:
        reason = first["msg"].removeprefix("Value error, ")
        reason = reason[:1].lower() + reason[1:]
        shown = "" if owner is None or isinstance(first["input"], Mapping) else f" = {first['input']!r}"
        message = f"{place}: {key}{shown}: {reason}" if key else f"{place}: {reason}"
    rest = len(details) - 1
    return message + (f" (and {rest} more)" if rest else "")


def _owner(model: type[BaseModel], path: list[str]) -> tuple[type[BaseModel] | None, set[str]]:
    """Return the model that holds the last key of ``path``, and the keys it knows."""
    owner: type[BaseModel] = model
    for part in path[:-1]:
        field = owner.model_fields.get(part)
        inner = field.annotation if field is not None else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return owner, set(owner.model_fields)
        owner = inner
    return owner, set(owner.model_fields)
