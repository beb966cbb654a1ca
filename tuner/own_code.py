"""What the methods of an objective raise is told as the objective's own, and what they return is checked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from tuner.errors import ObjectiveError, TunerError

if TYPE_CHECKING:
    from tuner.trainable import Trainable
    from tuner.training import Dataset

T = TypeVar("T")


@contextmanager
def own_code(objective: type[Trainable]) -> Iterator[None]:
    """Inside, code of ``objective`` runs.

    Raises:
        ObjectiveError: for whatever that raises but for errors of ours; what a built-in objective raises is left alone.
    """
    try:
        yield
    except TunerError:
        raise
    except (Exception, SystemExit) as error:
        if objective.__module__.partition(".")[0] == "objectives":
            raise
        from tuner.tryout import objectives_own

        raise objectives_own(error) from error


def load_data(trainable: Trainable) -> Dataset:
    """Return what :meth:`Trainable.load` gives.

    Raises:
        ObjectiveError: when it fails, or gives anything else than a dataset.
        TunerError: as it raises it.
    """
    from tuner.training import Dataset

    with own_code(type(trainable)):
        return returned(trainable.load(), Dataset, f"{type(trainable).__name__}.load()")


def returned(value: object, kind: type[T], where: str) -> T:
    """Return what a method gave, if it is of the kind that it must be.

    Raises:
        ObjectiveError: naming the method and both kinds.
    """
    if isinstance(value, kind):
        return value
    raise ObjectiveError(
        f"{where} must return a {_as_imported(kind)}; it returned a value of type {type(value).__name__}"
    )


def _as_imported(kind: type) -> str:
    """Return the name of a class by the outermost module that has it: ``torch.nn.Module``."""
    modules = kind.__module__.split(".")
    homes = (".".join(modules[:length]) for length in range(1, len(modules) + 1))
    home = next((home for home in homes if getattr(sys.modules.get(home), kind.__name__, None) is kind), modules[0])
    return kind.__name__ if home == "builtins" else f"{home}.{kind.__name__}"
