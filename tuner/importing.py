"""Importing a person's own code: a file by its path or a module by its name, and an attribute of it."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from tuner import failures
from tuner.errors import ObjectiveError, UsageError
from tuner.searchless import SearchBegan, without_a_search
from tuner.sections import nearest

notes = logging.getLogger("tuner.notes")


def import_module(name: str) -> ModuleType:
    """Return the module that ``name`` (``package.module`` or ``path/to/file.py``) stands for.

    A script that searches without ``if __name__ == "__main__":`` ends where its search would begin: what it has
    defined by then is used, and a note says so.

    Raises:
        UsageError: when there is no such module or file, or a module (no file) searches when it is imported.
        ObjectiveError: when importing it fails, with the person's own traceback.
    """
    return _import_file(name) if name.endswith(".py") else _import_by_name(name)


def attribute(module: ModuleType, name: str, *, where: str) -> Any:
    """Return the attribute ``name`` (``objective``, ``Suite.objective``) of a module.

    Raises:
        UsageError: when there is none, with the nearest name.
    """
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = [key for key in vars(found) if not key.startswith("_")] if hasattr(found, "__dict__") else []
            raise UsageError(f"{where}: no attribute '{part}'{nearest(part, public)}")
        found = getattr(found, part)
    return found


def _import_by_name(name: str) -> ModuleType:
    if "" not in sys.path:
        sys.path.append("")  # last: the person's modules shadow nothing of ours
    try:
        with _as_a_library(name):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(f"there is no module '{name}' here") from None
        raise _not_imported(name, error) from error
    except SearchBegan as began:
        file, line = _caller(began)
        raise UsageError(
            f'{name}: importing it begins a search ({file}:{line}); put that under `if __name__ == "__main__":`'
        ) from None
    except (Exception, SystemExit) as error:
        raise _not_imported(name, error) from error


def _import_file(written: str) -> ModuleType:
    path = Path(written).resolve()
    if not path.is_file():
        raise UsageError(f"{written}: no such file")
    name = _module_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{written}: it is no Python file")
    module = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    sys.modules[name] = module
    try:
        with _as_a_library(str(path)):
            spec.loader.exec_module(module)
    except SearchBegan as began:
        notes.info(
            "%s: line %d begins a search of its own and is left out, with all below it; "
            'what it defines above is used (`if __name__ == "__main__":` is the place for it)',
            written,
            _line_in(began, path),
        )
    except (Exception, SystemExit) as error:
        raise _not_imported(written, error) from error
    return module


def _module_name(path: Path) -> str:
    """The name a script would be imported by, unless another module has it: a script may be called storage.py."""
    known = sys.modules.get(path.stem)
    taken = known is not None and getattr(known, "__file__", None) != str(path)
    return f"objective_in_{path.stem}" if taken else path.stem


@contextmanager
def _as_a_library(script: str) -> Iterator[None]:
    """Keep a script that is imported from searching, from reading our arguments, and from telling of its studies."""
    import optuna

    arguments, verbosity = sys.argv, optuna.logging.get_verbosity()
    sys.argv = [script]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with without_a_search():
            yield
    finally:
        sys.argv = arguments
        if optuna.logging.get_verbosity() == optuna.logging.WARNING:
            optuna.logging.set_verbosity(verbosity)


def _caller(began: SearchBegan) -> tuple[str, int]:
    frame = traceback.extract_tb(began.__traceback__)[-2]
    return frame.filename, frame.lineno or 0


def _line_in(began: SearchBegan, path: Path) -> int:
    """The line of the script itself that led to the search: that of the call of its main(), say."""
    frames = traceback.extract_tb(began.__traceback__)
    return next((frame.lineno or 0 for frame in frames if frame.filename == str(path)), 0)


def _not_imported(name: str, error: BaseException) -> ObjectiveError:
    what = f"{type(error).__name__}: {error}".removesuffix(": ")
    if isinstance(error, SystemExit):
        what += '; it gets no arguments here: what needs them, or ends it, belongs under `if __name__ == "__main__":`'
    return ObjectiveError(f"{name} cannot be imported: {what}", traceback=failures.own_traceback(error))
