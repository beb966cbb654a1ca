"""From what a person names (a built-in study, a study file, an objective, a table) to the spec of a study."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.errors import SpecError, UsageError

if TYPE_CHECKING:
    from tuner.spec import StudySpec


def read_spec(
    source: str | PathLike[str] | None,
    *,
    data: str | None = None,
    target: str | list[str] | None = None,
    settings: Iterable[str] = (),
    changes: Mapping[str, Any] | None = None,
) -> tuple[StudySpec, str]:
    """Return the spec that a person asks for, and what to call its source in messages.

    Args:
        source: a built-in study's name, a study file, or ``module:attribute``; ``None`` with ``data``. A function goes
            by its name too, for each worker imports it.
        data: a file or a folder; it replaces ``[data] source``. Without an ``objective.name`` it says what is tuned.
        target: its target column or columns, where it has any.
        settings: ``table.key=value`` overrides.
        changes: further overrides by key (``"budget.trials"``), which win; ``None`` values are left out.

    Raises:
        SpecError, UsageError: naming what is wrong.
    """
    from tuner import study_file
    from tuner.loading import recognised
    from tuner.spec import parse_spec

    values, where = _source_values(_written(source), data)
    if not isinstance(values.get("data", {}), dict):
        raise SpecError(f"{where}: data = {values['data']!r} must be a table of keys and values")
    if data is not None:
        values = study_file.override(values, [])
        # a folder by its whole path: a built-in data set may be called the same
        values.setdefault("data", {})["source"] = str(Path(data).resolve()) if Path(data).is_dir() else data
    if target is not None:
        values = study_file.override(values, [])
        values.setdefault("data", {})["target"] = target
    values = study_file.override(values, settings)
    for table in ("objective", "budget"):
        if not isinstance(values.get(table, {}), dict):
            raise SpecError(f"{where}: {table} = {values[table]!r} must be a table of keys and values")
    if "name" not in values.setdefault("objective", {}):
        values["objective"]["name"] = recognised(str(values.get("data", {}).get("source", "")))
    for key, value in (changes or {}).items():
        if value is not None:
            table, _, last = key.rpartition(".")
            (values.setdefault(table, {}) if table else values)[last] = value
    return parse_spec(values, where=where), where


def _written(source: object) -> str | None:
    """Return the name of a source, or say how one writes that of a function."""
    if source is None or isinstance(source, str):
        return source
    if isinstance(source, PathLike):
        return str(fspath(source))
    if not callable(source):
        raise UsageError(f"{source!r} is no source of a study: name a built-in study, a study file or module:attribute")
    name = str(getattr(source, "__name__", ""))
    name = name if name.isidentifier() else "objective"
    try:
        file = inspect.getfile(source)
    except (OSError, TypeError):
        file = ""
    here = f"write '{file}:{name}'" if Path(file).is_file() else f"save it in a file, and write 'my_file.py:{name}'"
    raise UsageError(f"{name} is named, not handed over, for each worker imports it; {here}")


def _source_values(source: str | None, data: str | None) -> tuple[dict[str, Any], str]:
    from tuner import study_file

    if source is None:
        if data is None:
            built_in = ", ".join(study_file.built_in_names())
            raise UsageError(
                f"say what to tune: a built-in study ({built_in}), a study file, or --data FILE --target COLUMN"
            )
        return {"name": study_file.name_for(data)}, data
    if ":" in source and not Path(source).exists():
        return {"name": _name_of(source), "objective": {"name": source}}, source
    return study_file.read(source)


def _name_of(objective: str) -> str:
    """What a study of ``file.py:attribute`` or ``package.module:attribute`` is called: as the file or module is."""
    home = objective.rpartition(":")[0]
    return Path(home).stem if home.endswith(".py") else home.rpartition(".")[2]
