"""From a name or an import path to an objective: a Trainable, or a plain function ``objective(trial)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tuner import importing
from tuner.errors import SpecError, UsageError
from tuner.fittable import Fittable
from tuner.function import FunctionOptions, LoadedFunction, load_function
from tuner.own_code import own_code
from tuner.sections import nearest, validate
from tuner.trainable import Trainable

if TYPE_CHECKING:
    from tuner.space import Space
    from tuner.spec import StudySpec

BUILT_IN = {
    "table": "objectives.tables:Table",
    "image": "objectives.images:Image",
    "text": "objectives.text:Text",
    "translation": "objectives.translation:Translation",
    "pretraining": "objectives.pretraining:Pretraining",
}
"""The built-in objectives: name → import path."""
ESTIMATORS = "objectives.estimators"
"""What makes an objective of a scikit-learn estimator."""
DEFAULT = "table"
"""The objective of a study that names none, and whose data no other recognises."""


@dataclass(frozen=True, kw_only=True)
class LoadedTrainable:
    """A Trainable with its options and data settings checked, and the space of the study."""

    trainable: Trainable
    space: Space


def import_objective(name: str) -> tuple[Any, ModuleType]:
    """Return what ``name`` stands for (a Trainable class, or whatever else is there), and the module it is in.

    ``name`` is that of a built-in objective, ``package.module:attribute`` or ``path/to/file.py:attribute``.

    Raises:
        UsageError: when there is no such module or attribute.
        ObjectiveError: when importing it fails; the cause is the person's own exception.
    """
    if _is_estimators_name(name):
        return _estimator(name), importing.import_module(ESTIMATORS)
    path = BUILT_IN.get(name, name)
    module_name, colon, attribute = path.rpartition(":")
    if not colon or not module_name or not attribute:
        hint = nearest(name, BUILT_IN) or f"; built in: {', '.join(BUILT_IN)}; one's own: module:attribute"
        raise UsageError(f"objective '{name}' is not known{hint}")
    module = importing.import_module(module_name)
    found = importing.attribute(module, attribute, where=module_name)
    return (_estimator(name, found) if _is_estimator(found) else found), module


def _is_estimators_name(name: str) -> bool:
    """Whether a name is scikit-learn's: ``sklearn.svm.SVC``, or the class alone."""
    return (name.startswith("sklearn.") and ":" not in name) or (name.isidentifier() and name[0].isupper())


def _is_estimator(found: Any) -> bool:
    """Whether a person's object, or class of objects, has the interface of scikit-learn's estimators."""
    return all(callable(getattr(found, method, None)) for method in ("fit", "get_params", "set_params"))


def _estimator(name: str, found: Any = None) -> type[Trainable]:
    objective: type[Trainable] = importing.import_module(ESTIMATORS).objective_of(name, found)
    return objective


def imports_of(spec: StudySpec) -> Sequence[str]:
    """Return what workers of a built-in objective will import; no module of a person's is among it."""
    name = spec.objective.get("name", DEFAULT)
    if name not in BUILT_IN:
        return ()
    objective: type[Trainable] = import_objective(name)[0]
    return objective.imports


def recognised(source: str) -> str:
    """Return the name of the built-in objective whose data plainly lies at ``source``: ``table`` where none says so."""
    path = Path(source).expanduser()
    if path.exists():
        for name in BUILT_IN:
            found, _ = import_objective(name)
            if isinstance(found, type) and issubclass(found, Trainable) and found.recognises(path):
                return name
    return DEFAULT


def load_objective(spec: StudySpec, *, where: str) -> LoadedTrainable | LoadedFunction:
    """Return the objective of ``spec``, its ``[objective]``, ``[data]`` and ``[space]`` checked against what it knows.

    The data is not read yet: that is :meth:`Trainable.load`.

    Raises:
        SpecError: for a key or value the objective does not take.
        UsageError, ObjectiveError: see :func:`import_objective`.
    """
    options = dict(spec.objective)
    name = options.pop("name", DEFAULT)
    found, module = import_objective(name)
    if not (isinstance(found, type) and issubclass(found, Trainable)):
        for table in ("data", "space"):
            if getattr(spec, table):
                raise SpecError(f"{where} [{table}]: a plain function has none; it defines its own by running")
        checked = validate(FunctionOptions, options, where=f"{where} [objective]")
        return load_function(found, module, checked, spec.search, name=name, where=where)
    trainable = _made(found, options, spec.data, seed=spec.seed, where=where)
    with own_code(found):
        return LoadedTrainable(trainable=trainable, space=trainable.space(spec.space, where=where))


def check_built_in(spec: StudySpec, *, where: str) -> None:
    """Check what is written of a built-in objective, which takes no time; others are left alone.

    Raises:
        SpecError: as :func:`load_objective` and :func:`refuse_idle`.
    """
    if spec.objective.get("name", DEFAULT) in BUILT_IN:
        refuse_idle(spec, load_objective(spec, where=where), where=where)


def refuse_idle(spec: StudySpec, loaded: LoadedTrainable | LoadedFunction, *, where: str) -> None:
    """Refuse what is written of training and of weights where the engine trains no network of the objective.

    Raises:
        SpecError: naming the key.
    """
    if isinstance(loaded, LoadedFunction):
        weights, what = "a plain function makes its own networks; only a Trainable has it", "a plain function"
        heeded = {"trial_timeout", "device"}
    elif isinstance(loaded.trainable, Fittable):
        weights, what = "what is fitted in one go has no weights to keep", "what is fitted in one go"
        heeded = {"trial_timeout"}
    else:
        return
    written = spec.model.model_dump(exclude_defaults=True)
    for key in ("start_from", "keep_as", "ensemble"):
        if key in written:
            raise SpecError(f"{where} [model] {key}: {weights}")
    idle = next((key for key in spec.training.model_dump(exclude_defaults=True) if key not in heeded), None)
    if idle is not None:
        known = " and ".join(sorted(heeded))
        raise SpecError(
            f"{where} [training] {idle}: {what} trains in its own way and heeds {known} alone; leave it out"
        )


def make_trainable(objective: Mapping[str, Any], data: Mapping[str, Any], *, seed: int, where: str) -> Trainable:
    """Return the Trainable of a spec's ``[objective]`` and ``[data]`` alone, as a kept model's card has them.

    Raises:
        SpecError: for a key or value the objective does not take.
        UsageError, ObjectiveError: see :func:`import_objective`, and when it is no Trainable.
    """
    options = dict(objective)
    name = options.pop("name", DEFAULT)
    found, _ = import_objective(name)
    if not (isinstance(found, type) and issubclass(found, Trainable)):
        raise UsageError(f"{where}: its objective '{name}' is no Trainable, which alone keeps networks")
    return _made(found, options, data, seed=seed, where=where)


def _made(
    found: type[Trainable], options: Mapping[str, Any], data: Mapping[str, Any], *, seed: int, where: str
) -> Trainable:
    missing = sorted(found.__abstractmethods__)
    if missing:
        raise UsageError(f"{where} [objective]: {found.__name__} lacks {', '.join(missing)}; write it as a method")
    checked = validate(found.Options, options, where=f"{where} [objective]")
    checked_data = validate(found.Data, data, where=f"{where} [data]")
    with own_code(found):
        return found(checked, checked_data, seed=seed)
