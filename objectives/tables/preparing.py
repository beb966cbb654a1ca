"""From the ``[data]`` of a study file to arrays: read, split, infer, fit on the training part, transform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from objectives.tables import preprocessing
from objectives.tables.columns import ColumnPlan, Wishes, plan_columns
from objectives.tables.datasets import NAMES, load_built_in
from objectives.tables.labelled import (
    Rows,
    known_rows,
    note_repeats,
    read_others,
    read_rows,
    require_column,
    split_labelled,
)
from objectives.tables.options import TableData, as_list
from objectives.tables.preprocessing import Preprocessing
from objectives.tables.reading import normalise
from objectives.tables.target import Target
from tuner.errors import DataError
from tuner.sections import nearest


@dataclass(frozen=True, kw_only=True)
class PreparedPart:
    """The rows of one part."""

    inputs: NDArray[np.float32]
    """``[N, features]``"""
    targets: NDArray[Any]
    """Class numbers ``[N]``, or standardised values ``[N, T]``."""


@dataclass(frozen=True, kw_only=True)
class PreparedTable:
    """A table that is ready to train on, and all that is needed to make new rows ready in the same way."""

    where: str
    parts: dict[str, PreparedPart]
    """``training``, ``validation`` and, unless none is kept, ``test``."""
    target: Target
    plans: Sequence[ColumnPlan]
    preprocessing: Preprocessing
    notes: Sequence[str]
    """What a person should know."""


def prepare_table(data: TableData, *, task: str, seed: int) -> PreparedTable:
    """Return the table of a study file's ``[data]``; its random split depends on ``seed`` alone.

    Raises:
        DataError: when it cannot be used, with one line that names the file, the column and the remedy.
    """
    notes: list[str] = []
    rows = _read_source(data, notes)
    others = read_others(rows, data, notes, unused=data.drop)
    return _prepare(rows, others, data, task=task, seed=seed, notes=notes)


def prepare_frame(frame: pl.DataFrame, data: TableData, *, task: str, seed: int) -> PreparedTable:
    """Return a table that somebody holds in memory; see :func:`prepare_table`."""
    rows = Rows(where=data.source, frame=normalise(frame), targets=as_list(data.target))
    return _prepare(rows, {}, data, task=task, seed=seed, notes=[])


def _prepare(
    rows: Rows, others: Mapping[str, Rows], data: TableData, *, task: str, seed: int, notes: list[str]
) -> PreparedTable:
    _check_columns(rows, data)
    labelled = split_labelled(rows, others, data, task=task, seed=seed, notes=notes)
    target, training = labelled.target, labelled.parts["training"].frame
    used = [
        name for name in training.columns if name not in {*rows.targets, *data.drop, data.split_column, data.groups}
    ]
    wishes = Wishes(numbers=data.numbers, categories=data.categories, dates=data.dates, least_rows=data.least_rows)
    plans = plan_columns(training.select(used), wishes, where=rows.where, whole=rows.frame)
    fitted = preprocessing.fit(
        training,
        plans,
        missing=data.missing,
        least_rows=wishes.rare(training.height),
        max_categories=data.max_categories,
        where=rows.where,
    )
    if not fitted.encoders:
        raise DataError(f"{rows.where}: no column is left to learn from{_why(rows, plans, Path(data.source))}")
    note_repeats(rows, used, notes)
    parts = {
        part: PreparedPart(
            inputs=fitted.transform(its.frame, where=its.where), targets=target.encode(its.frame, where=its.where)
        )
        for part, its in labelled.parts.items()
    }
    for part, its in labelled.parts.items():
        told, warned = fitted.strange(its.frame) if part != "training" else ([], [])
        notes += [f"{part}: {note}" for note in (*warned, *told, *fitted.clipped(its.frame))]
    return PreparedTable(
        where=rows.where, parts=parts, target=target, plans=plans, preprocessing=fitted, notes=tuple(notes)
    )


def _why(rows: Rows, plans: Sequence[ColumnPlan], source: Path) -> str:
    """Say why no column is used, and what a person may do: of a file, which objective learns from its texts or images.

    They are images where each is the path of one that is there, beside the file.
    """
    reasons = "; ".join(f"'{plan.name}': {plan.note}" for plan in plans[:4] if plan.note)
    if not reasons:
        return "; there is only the target"
    said = f" ({reasons}); to use one all the same, list it in numbers or categories"
    texts = [rows.frame[plan.name].drop_nulls().to_list() for plan in plans if plan.texts]
    folder = source.expanduser().parent
    if not texts or not source.expanduser().is_file():
        return said
    from objectives.images.files import is_image

    images = any(all(is_image(Path(text)) and (folder / text).is_file() for text in column) for column in texts)
    name = "image" if images else "text"
    return f'{said}, or learn from {name}s: -S objective.name={name} ([objective] name = "{name}" in a study file)'


def _read_source(data: TableData, notes: list[str]) -> Rows:
    if not data.source:
        raise DataError(f"[data]: source is missing; name a file or one of {', '.join(NAMES)}")
    if data.source in NAMES and not Path(data.source).is_file():
        frame, defaults = load_built_in(data.source)
        rows = Rows(where=data.source, frame=normalise(frame), targets=as_list(data.target) or defaults)
        return known_rows(rows, data, notes)
    if "." not in data.source and not Path(data.source).exists():
        hint = nearest(data.source, NAMES) or f"; built in: {', '.join(NAMES)}"
        raise DataError(f"{data.source}: no such file and no built-in data set{hint}")
    return read_rows(data, notes)


def _check_columns(rows: Rows, data: TableData) -> None:
    for key in ("drop", "numbers", "categories", "dates"):
        for name in getattr(data, key):
            require_column(name, rows, f"column (listed in {key})")
            if name in rows.targets and key != "numbers":
                raise DataError(f"{rows.where}: target '{name}' is listed in {key}; take it out")
    plan_columns(rows.frame.select(data.numbers), Wishes(numbers=data.numbers), where=rows.where)
