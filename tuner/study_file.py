"""Reading study files (TOML and YAML), built-in ones by name, and ``key=value`` overrides."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from tuner.errors import SpecError, UsageError
from tuner.sections import nearest

_STUDIES = "objectives.studies"
MODEL_KEYS = ("model.start_from", "objective.pretrained")
"""Keys that hold the path of a model or of weights, or a model's name."""
_SUFFIXES = {".toml", ".yaml", ".yml"}


def built_in_names() -> list[str]:
    """Return the names of the built-in studies."""
    return sorted(entry.name.removesuffix(".toml") for entry in _files() if entry.name.endswith(".toml"))


def read_text(name: str) -> str:
    """Return the text of the built-in study file ``name``.

    Raises:
        UsageError: when there is none of that name.
    """
    known = built_in_names()
    if name not in known:
        hint = nearest(name, known) or f"; built in: {', '.join(known)}"
        raise UsageError(f"there is no built-in study '{name}'{hint}")
    return (resources.files(_STUDIES) / f"{name}.toml").read_text(encoding="utf-8")


def read(source: str) -> tuple[dict[str, Any], str]:
    """Return a study file as a mapping, and what to call it in messages.

    ``source`` is the path of a TOML or YAML file, or the name of a built-in study. Without a ``name`` in it, the
    study takes that of the file. A relative path in ``[data]`` or of a model is taken from the file's folder.

    Raises:
        UsageError: when there is no such file or built-in study.
        SpecError: when it is not valid TOML or YAML.
    """
    path = Path(source)
    if path.suffix not in _SUFFIXES:
        if path.suffix == ".py" and path.exists():
            raise UsageError(f"{source}: which function or class of it is to be tuned? write {source}:NAME")
        if path.exists():
            raise UsageError(f"{source}: a study file ends in .toml or .yaml; for data write --data {source}")
        return {"name": source, **_parse_toml(read_text(source), source)}, source
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{source}: no such study file; `tuner init` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{source}: cannot be read: {_reason(error)}") from None
    values = _parse_toml(text, source) if path.suffix == ".toml" else _parse_yaml(text, source)
    return {"name": path.stem, **_with_paths_from(values, path.parent)}, source


def override(values: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Return a copy of ``values`` with each ``table.key=value`` put in its place.

    A value is read as TOML where it is TOML (numbers, lists, tables, quoted text), as a list where it holds commas,
    and as text otherwise.

    Raises:
        UsageError: when an assignment has no ``=``, or goes through a key that holds no table.
    """
    result = _copy(values)
    for assignment in assignments:
        key, equals, written = assignment.partition("=")
        path = [part.strip() for part in key.split(".")]
        if not equals or not all(path):
            raise UsageError(f"-S {assignment}: write table.key=value, e.g. -S space.learning_rate=1e-4..1e-1:log")
        table = result
        for part in path[:-1]:
            inner = table.setdefault(part, {})
            if not isinstance(inner, dict):
                raise UsageError(f"-S {assignment}: '{part}' holds the value {inner!r}, not a table")
            table = inner
        table[path[-1]] = _value(written.strip())
    return result


def _value(written: str) -> Any:
    try:
        return tomllib.loads(f"value = {written}")["value"]
    except tomllib.TOMLDecodeError:
        pass
    if written in ("True", "False"):  # as Python writes them
        return written == "True"
    if "," in written and not written.startswith(("[", "{", '"', "'")):
        return [_value(part.strip()) for part in written.split(",") if part.strip()]
    return written


def _parse_toml(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{where}: not valid TOML: {error}") from None


def _parse_yaml(text: str, where: str) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SpecError(f"{where}: a study file holds tables such as 'space:', not a {type(values).__name__}")
    numbers: dict[str, Any] = _yaml_numbers(values)
    return numbers


def _yaml_numbers(value: Any) -> Any:
    """YAML 1.1 reads ``1e-4`` as text; a person means the number."""
    if isinstance(value, dict):
        return {str(key): _yaml_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_yaml_numbers(inner) for inner in value]
    if isinstance(value, str) and value[:1] in "+-.0123456789" and "e" in value.lower():
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _with_paths_from(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    moved = {key: _moved(key, held, folder) if isinstance(held, dict) else held for key, held in values.items()}
    objective = moved.get("objective")
    return {**moved, "objective": with_whole_paths(objective, folder)} if isinstance(objective, dict) else moved


def _moved(table: str, held: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Take relative paths in a table of the study file from ``folder``, where there is such a file."""

    def is_path(key: str, value: Any) -> bool:
        named = names_a_file(key) if table == "data" else f"{table}.{key}" in MODEL_KEYS
        return named and isinstance(value, str) and bool(value) and (folder / value).exists()

    return {key: str(folder / value) if is_path(key, value) else value for key, value in held.items()}


def name_for(data: str) -> str:
    """Return what a study of the data at a path is called: the file's name less its ending, or the folder's.

    What a name may not hold (see :func:`tuner.spec.check_name`) becomes a space.
    """
    path = Path(data)
    written = path.resolve().name if path.is_dir() else path.stem
    return " ".join(re.sub(r"[^\w.+@=-]", " ", written).split()).lstrip(".+@=- ")[:200].strip() or "study"


def with_whole_paths(objective: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return an ``[objective]`` whose ``file.py:attribute`` have whole paths, as far as the files are in ``folder``."""

    def whole(name: Any) -> Any:
        if isinstance(name, list):
            return [whole(one) for one in name]
        file, colon, attribute = name.rpartition(":") if isinstance(name, str) else ("", "", "")
        if not file.endswith(".py") or not (folder / file).is_file():
            return name
        return f"{(folder / file).resolve()}{colon}{attribute}"

    return {key: whole(value) if key in _IMPORTED else value for key, value in objective.items()}


_IMPORTED = ("name", "constraints", "callbacks")
"""The keys of ``[objective]`` that name code to import."""


def names_a_file(key: str) -> bool:
    """Whether a key of ``[data]`` holds the path of a file or folder."""
    return key == "source" or key.endswith(("_file", "_folder"))


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def _files() -> list[Any]:
    return list(resources.files(_STUDIES).iterdir())


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8 text"
