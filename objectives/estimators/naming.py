"""From a name to a scikit-learn estimator."""

from __future__ import annotations

import importlib
import inspect
import warnings
from typing import Any

from tuner.errors import UsageError
from tuner.sections import nearest


def find(name: str) -> type[Any]:
    """Return the public classifier or regressor of scikit-learn called ``name``: its import path, or its class alone.

    Raises:
        UsageError: when there is none, with the nearest name.
    """
    home, _, class_name = name.rpartition(".")
    if not home:
        known = predictors()
        if name not in known:
            hint = nearest(name, known) or "; write its import path, as in sklearn.ensemble.RandomForestClassifier"
            raise UsageError(f"scikit-learn has no classifier or regressor '{name}'{hint}")
        return known[name]
    try:
        if any(part.startswith("_") for part in name.split(".")):
            raise ModuleNotFoundError
        module = importlib.import_module(home)
    except ModuleNotFoundError:
        raise UsageError(f"objective '{name}': scikit-learn has no public module '{home}'") from None
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise UsageError(f"objective '{name}': {home} has no class '{class_name}'{nearest(class_name, dir(module))}")
    return found


def predictors() -> dict[str, type[Any]]:
    """Return every public classifier and regressor of scikit-learn by the name of its class."""
    from sklearn.utils.discovery import all_estimators

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what its own modules have deprecated
        return dict(all_estimators(type_filter=["classifier", "regressor"]))


def make(found: Any, name: str) -> Any:
    """Return the estimator that ``found``, a class or an estimator itself, stands for.

    Raises:
        UsageError: when it is none that predicts, or cannot be made without arguments.
    """
    from sklearn.base import is_classifier, is_regressor

    if isinstance(found, type):
        needed = [
            key
            for key, parameter in inspect.signature(found).parameters.items()
            if parameter.default is parameter.empty and parameter.kind == parameter.POSITIONAL_OR_KEYWORD
        ]
        if needed:
            raise UsageError(
                f"objective '{name}': {found.__name__} needs {', '.join(needed)}; "
                "make one in a file, and name it as file.py:variable"
            )
        found = found()
    if not (hasattr(found, "fit") and (is_classifier(found) or is_regressor(found))):
        raise UsageError(f"objective '{name}': {type(found).__name__} is neither a classifier nor a regressor")
    return found
