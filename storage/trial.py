"""The trials of a storage: Optuna's own, copied at a fraction of the cost."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from optuna.trial import FrozenTrial

T = TypeVar("T")
Kind = TypeVar("Kind", bound=FrozenTrial)


class StoredTrial(FrozenTrial):
    """A trial whose copies are quick: Optuna copies one at every report, and all of a study for ``study.trials``.

    A copy, and what is unpickled elsewhere, is of Optuna's own class.
    """

    def __copy__(self) -> FrozenTrial:
        return _same(self, FrozenTrial)

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenTrial:
        copied = _apart(self, FrozenTrial)
        copied._params = copy.deepcopy(self._params, memo)
        copied._distributions = {name: _same(known, type(known)) for name, known in self._distributions.items()}
        copied._user_attrs = copy.deepcopy(self._user_attrs, memo)
        copied._system_attrs = copy.deepcopy(self._system_attrs, memo)
        return copied

    def __repr__(self) -> str:
        return repr(_same(self, FrozenTrial))

    def __reduce__(self) -> tuple[Any, ...]:
        return object.__new__, (FrozenTrial,), self.__dict__


def copy_trial(trial: FrozenTrial) -> StoredTrial:
    """Return a copy with containers of its own; what lies in them is shared and never changed."""
    return _apart(trial, StoredTrial)


def _apart(trial: FrozenTrial, kind: type[Kind]) -> Kind:
    copied = _same(trial, kind)
    copied._params = dict(trial._params)
    copied._distributions = dict(trial._distributions)
    copied._user_attrs = dict(trial._user_attrs)
    copied._system_attrs = dict(trial._system_attrs)
    copied.intermediate_values = dict(trial.intermediate_values)
    copied._values = None if trial._values is None else list(trial._values)
    return copied


def _same(one: object, kind: type[T]) -> T:
    """Return another object with the same attributes."""
    copied = kind.__new__(kind)
    copied.__dict__.update(one.__dict__)
    return copied
