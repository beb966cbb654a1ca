"""The data sets that come with scikit-learn, as tables. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

NAMES = ("iris", "wine", "breast_cancer", "digits", "diabetes", "linnerud")
"""The built-in data sets that ``source`` may name."""


def load_built_in(name: str) -> tuple[pl.DataFrame, list[str]]:
    """Return the table and the names of its target columns.

    Raises:
        KeyError: when there is no such data set.
    """
    import numpy as np
    import polars as pl
    from sklearn import datasets

    if name not in NAMES:
        raise KeyError(name)
    load: Callable[[], Any] = getattr(datasets, f"load_{name}")
    bunch = load()
    columns = {str(feature): bunch.data[:, i] for i, feature in enumerate(bunch.feature_names)}
    if name == "linnerud":
        targets = {str(target): bunch.target[:, i] for i, target in enumerate(bunch.target_names)}
    elif name == "diabetes":
        targets = {"progression": bunch.target}
    elif name == "digits":
        targets = {"digit": bunch.target}
    else:
        column = {"iris": "species", "wine": "cultivar", "breast_cancer": "diagnosis"}[name]
        targets = {column: np.asarray(bunch.target_names)[bunch.target].tolist()}
    return pl.DataFrame(columns | targets), list(targets)
