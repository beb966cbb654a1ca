"""What is searched for a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.base import clone

from tuner.errors import SpecError
from tuner.parsing import parse_parameter
from tuner.sections import nearest
from tuner.space import Choices, Fixed, Parameter, Range, Scalar, Space

_FOREST = {"n_estimators": "50..500:log", "max_features": "0.1..1.0", "min_samples_leaf": "1..20:log"}
_BOOSTING = {
    "learning_rate": "0.01..0.5:log",
    "max_leaf_nodes": "7..63:log",
    "min_samples_leaf": "5..50:log",
    "l2_regularization": "1e-6..10:log",
}
_SVM = {"C": "1e-2..1e3:log", "gamma": "1e-4..1.0:log"}
_NEIGHBOURS = {"n_neighbors": "1..50:log", "weights": ["uniform", "distance"], "p": [1, 2]}
DEFAULTS: dict[str, Mapping[str, Any]] = {
    "RandomForestClassifier": _FOREST,
    "RandomForestRegressor": _FOREST,
    "ExtraTreesClassifier": _FOREST,
    "ExtraTreesRegressor": _FOREST,
    "HistGradientBoostingClassifier": _BOOSTING,
    "HistGradientBoostingRegressor": _BOOSTING,
    "LogisticRegression": {"C": "1e-4..1e3:log", "class_weight": [None, "balanced"], "max_iter": 1000},
    "Ridge": {"alpha": "1e-3..1e3:log"},
    "SVC": _SVM,
    "SVR": {**_SVM, "epsilon": "1e-3..1.0:log"},
    "KNeighborsClassifier": _NEIGHBOURS,
    "KNeighborsRegressor": _NEIGHBOURS,
}
"""What is searched where the study file says nothing, by the class of the estimator; for inputs of deviation 1."""


def space_of(estimator: Any, written: Mapping[str, Any], *, where: str) -> Space:
    """Return the default space of an estimator with what ``[space]`` wrote in its place; usual is what it has already.

    Every end of a range and every choice is checked by the estimator's own rules.

    Raises:
        SpecError: for what is no parameter of it, with the nearest one, and for a value it does not take.
    """
    name, known = type(estimator).__name__, estimator.get_params()
    chosen = {**DEFAULTS.get(name, {}), **written}
    parameters: dict[str, Parameter] = {}
    for key, value in chosen.items():
        if key not in known:
            hint = nearest(key, known) or f"; known: {', '.join(known)}"
            raise SpecError(f"{where} [space]: {name} has no parameter '{key}'{hint}")
        try:
            parameters[key] = parse_parameter(_with_none(value))
            for legal in _values(parameters[key]):
                _check(estimator, key, legal)
        except ValueError as error:
            raise SpecError(f"{where} [space] {key} = {value}: {' '.join(str(error).split())}") from None
    return Space(parameters, usual=_own_values(parameters, known))


def _with_none(value: Any) -> Any:
    """TOML has no null; scikit-learn's parameters have no text 'None'."""
    if isinstance(value, list):
        return [_with_none(one) for one in value]
    return None if value == "None" else value


def _values(parameter: Parameter) -> tuple[Any, ...]:
    if isinstance(parameter, Range):
        cast = int if parameter.integer else float
        return (cast(parameter.low), cast(parameter.high))
    if isinstance(parameter, Choices):
        return parameter.choices
    return (parameter.value,) if isinstance(parameter, Fixed) else ()


def _own_values(parameters: Mapping[str, Parameter], known: Mapping[str, Any]) -> dict[str, Scalar]:
    """What the estimator has, where it is of the kind that is searched: often 1 is one sample, and 1.0 all of them."""

    def is_alike(value: Any, parameter: Parameter) -> bool:
        return type(value) is (int if parameter.integer else float) if isinstance(parameter, Range) else True

    return {
        name: known[name]
        for name, parameter in parameters.items()
        if isinstance(known[name], Scalar) and is_alike(known[name], parameter)
    }


def _check(estimator: Any, key: str, value: Any) -> None:
    """Let the estimator that owns a parameter (``svc__C``: the step ``svc``) say whether it takes the value.

    Raises:
        ValueError: when it does not.
    """
    tried = clone(estimator).set_params(**{key: value})
    owner, _, _ = key.rpartition("__")
    holder = tried.get_params()[owner] if owner else tried
    if hasattr(holder, "_validate_params"):
        holder._validate_params()
