"""From a name or an import path to an objective: a Trainable, or a plain function ``objective(trial)``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.errors import ObjectiveError, SpecError, UsageError
from tuner.hyperparameters import build_space
from tuner.sections import nearest, validate
from tuner.trainable import Trainable

if TYPE_CHECKING:
    from tuner.space import Space
    from tuner.spec import StudySpec

BUILT_IN = {"table": "objectives.tables:Table"}
"""The built-in objectives: name → import path."""
DEFAULT = "table"
"""The objective of a study that names none, and whose data no other recognises."""

Function = Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True)
class LoadedTrainable:
    """A Trainable with its options and data settings checked, and the space of the study."""

    trainable: Trainable
    space: Space


def import_objective(name: str) -> type[Trainable] | Function:
    """Return the Trainable class or plain function that ``name`` stands for.

    ``name`` is that of a built-in objective, ``package.module:attribute`` or ``path/to/file.py:attribute``.

    Raises:
        UsageError: when there is no such module or attribute, or it is neither.
        ObjectiveError: when importing it fails; the cause is the person's own exception.
    """
    path = BUILT_IN.get(name, name)
    module_name, colon, attribute = path.rpartition(":")
    if not colon or not module_name or not attribute:
        hint = nearest(name, BUILT_IN) or f"; built in: {', '.join(BUILT_IN)}; one's own: module:attribute"
        raise UsageError(f"objective '{name}' is not known{hint}")
    module = _import_file(module_name) if module_name.endswith(".py") else _import_module(module_name)
    if not hasattr(module, attribute):
        public = [key for key in vars(module) if not key.startswith("_")]
        raise UsageError(f"{module_name}: no attribute '{attribute}'{nearest(attribute, public)}")
    found = getattr(module, attribute)
    if isinstance(found, type) and issubclass(found, Trainable):
        return found
    if callable(found) and not isinstance(found, type):
        function: Function = found
        return function
    raise UsageError(f"{name}: it is a {type(found).__name__}; an objective is a function or a Trainable class")


def recognised(source: str) -> str:
    """Return the name of the built-in objective whose data plainly lies at ``source``: ``table`` where none says so."""
    path = Path(source).expanduser()
    if path.exists():
        for name in BUILT_IN:
            found = import_objective(name)
            if isinstance(found, type) and issubclass(found, Trainable) and found.recognises(path):
                return name
    return DEFAULT


def load_objective(spec: StudySpec, *, where: str) -> LoadedTrainable | Function:
    """Return the objective of ``spec``, its ``[objective]``, ``[data]`` and ``[space]`` checked against what it knows.

    The data is not read yet: that is :meth:`Trainable.load`.

    Raises:
        SpecError: for a key or value the objective does not take.
        UsageError, ObjectiveError: see :func:`import_objective`.
    """
    options = dict(spec.objective)
    found = import_objective(options.pop("name", DEFAULT))
    if not (isinstance(found, type) and issubclass(found, Trainable)):
        for table in ("data", "space"):
            if getattr(spec, table):
                raise SpecError(f"{where} [{table}]: a plain function has none; it defines its own by running")
        return found
    trainable = found(
        validate(found.Options, options, where=f"{where} [objective]"),
        validate(found.Data, spec.data, where=f"{where} [data]"),
        seed=spec.seed,
    )
    return LoadedTrainable(trainable=trainable, space=build_space(trainable.hyperparameters(), spec.space, where=where))


def _import_module(name: str) -> Any:
    if "" not in sys.path:
        sys.path.append("")  # last: the person's modules shadow nothing of ours
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(f"there is no module '{name}' here") from None
        raise ObjectiveError(f"{name} cannot be imported: {error}") from error
    except Exception as error:
        raise ObjectiveError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error


def _import_file(written: str) -> Any:
    path = Path(written).resolve()
    if not path.is_file():
        raise UsageError(f"{written}: no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{written}: it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.append(str(path.parent))
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ObjectiveError(f"{written} cannot be imported: {type(error).__name__}: {error}") from error
    return module
