"""From the ``[data]`` of a study file to arrays: read, split, infer, fit on the training part, transform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from objectives.tables import preprocessing
from objectives.tables.columns import ColumnPlan, Wishes, plan_columns
from objectives.tables.datasets import NAMES, load_built_in
from objectives.tables.delimited import ReadOptions
from objectives.tables.options import TableData, as_list
from objectives.tables.preprocessing import Preprocessing
from objectives.tables.reading import normalise, read_table
from objectives.tables.splitting import Split, split_by_column, split_randomly
from objectives.tables.target import Target, infer_target
from objectives.tables.values import NumberStyle, as_numbers
from tuner.errors import DataError
from tuner.sections import nearest

PARTS = ("training", "validation", "test")


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


@dataclass(frozen=True, kw_only=True)
class _Source:
    where: str
    frame: pl.DataFrame
    targets: list[str]


def prepare_table(data: TableData, *, task: str, seed: int) -> PreparedTable:
    """Return the table of a study file's ``[data]``; its random split depends on ``seed`` alone.

    Raises:
        DataError: when it cannot be used, with one line that names the file, the column and the remedy.
    """
    notes: list[str] = []
    source = _read_source(data, notes)
    others = {
        part: _read_other(file, source, data, notes)
        for part, file in (("validation", data.validation_file), ("test", data.test_file))
        if file
    }
    _check_columns(source, data)
    target = infer_target(source.frame, source.targets, task=task, positive=data.positive, where=source.where)
    _note_whole_numbers(source.frame, target, task, notes)
    split = _split(source, target, data, set(others), seed=seed, notes=notes)
    frames = {
        "training": (source.where, source.frame[split.training]),
        "validation": (source.where, source.frame[split.validation]),
        "test": (source.where, source.frame[split.test]),
    } | {part: (other.where, other.frame) for part, other in others.items()}
    frames = {part: (where, frame) for part, (where, frame) in frames.items() if frame.height}

    training = frames["training"][1]
    target = target.fit(target.encode(training, where=source.where))
    _check_training(target, training, source.where)
    used = [
        name for name in training.columns if name not in {*source.targets, *data.drop, data.split_column, data.groups}
    ]
    wishes = Wishes(numbers=data.numbers, categories=data.categories, dates=data.dates, least_rows=data.least_rows)
    plans = plan_columns(training.select(used), wishes, where=source.where)
    fitted = preprocessing.fit(
        training,
        plans,
        missing=data.missing,
        least_rows=wishes.rare(training.height),
        max_categories=data.max_categories,
        where=source.where,
    )
    _note_repeats(source, used, notes)
    parts = {
        part: PreparedPart(inputs=fitted.transform(frame, where=where), targets=target.encode(frame, where=where))
        for part, (where, frame) in frames.items()
    }
    return PreparedTable(
        where=source.where, parts=parts, target=target, plans=plans, preprocessing=fitted, notes=tuple(notes)
    )


def _read_source(data: TableData, notes: list[str]) -> _Source:
    if not data.source:
        raise DataError(f"[data]: source is missing; name a file or one of {', '.join(NAMES)}")
    if data.source in NAMES and not Path(data.source).is_file():
        frame, defaults = load_built_in(data.source)
        source = _Source(where=data.source, frame=normalise(frame), targets=as_list(data.target) or defaults)
    elif "." not in data.source and not Path(data.source).exists():
        hint = nearest(data.source, NAMES) or f"; built in: {', '.join(NAMES)}"
        raise DataError(f"{data.source}: no such file and no built-in data set{hint}")
    else:
        frame, read_notes = read_table(data.source, _read_options(data))
        notes += read_notes
        source = _Source(where=Path(data.source).name, frame=frame, targets=as_list(data.target))
        if not source.targets:
            raise DataError(f"{source.where}: which column is the target? write target = …; {_listed(frame.columns)}")
    return _with_known_targets(source, data, notes)


def _read_other(file: str, source: _Source, data: TableData, notes: list[str]) -> _Source:
    """A file with the rows of another part; it must have the source's columns, less those that are not used."""
    frame, read_notes = read_table(file, _read_options(data))
    where = Path(file).name
    notes += [f"{where}: {note}" for note in read_notes]
    absent = [name for name in source.frame.columns if name not in frame.columns and name not in data.drop]
    if absent:
        listed = ", ".join(f"'{name}'" for name in absent[:8])
        raise DataError(f"{where}: column{'s' * (len(absent) > 1)} {listed} absent, which {source.where} has")
    return _with_known_targets(_Source(where=where, frame=frame, targets=source.targets), data, notes)


def _read_options(data: TableData) -> ReadOptions:
    return ReadOptions(
        delimiter=data.delimiter,
        encoding=data.encoding,
        header=data.header,
        missing_values=tuple(data.missing_values),
    )


def _with_known_targets(source: _Source, data: TableData, notes: list[str]) -> _Source:
    """Without the rows whose target is missing, when a person allowed it."""
    frame, where = source.frame, source.where
    for name in source.targets:
        _require_column(name, source, "column")
        missing = frame[name].null_count()
        if missing == frame.height:
            raise DataError(f"{where}: every value of target '{name}' is missing; choose another column")
        if missing and data.missing_target == "refuse":
            raise DataError(
                f"{where}: target '{name}' is missing in {missing} of {frame.height} rows; "
                "mend them, or write missing_target = 'drop'"
            )
    known = frame.drop_nulls(source.targets)
    if known.height < frame.height:
        notes.append(f"{where}: {frame.height - known.height} rows without a target were dropped")
    if not known.height:
        raise DataError(f"{where}: no row has a value for every target")
    return _Source(where=where, frame=known, targets=source.targets)


def _require_column(name: str, source: _Source, what: str) -> None:
    if name not in source.frame.columns:
        hint = nearest(name, source.frame.columns)
        raise DataError(
            f"{source.where}: no {what} '{name}'{hint}{' ' if hint else '; '}{_listed(source.frame.columns)}"
        )


def _listed(columns: Sequence[str]) -> str:
    more = f", … ({len(columns)} in all)" if len(columns) > 12 else ""
    return f"Columns: {', '.join(columns[:12])}{more}"


def _check_columns(source: _Source, data: TableData) -> None:
    for key in ("drop", "numbers", "categories", "dates"):
        for name in getattr(data, key):
            _require_column(name, source, f"column (listed in {key})")
            if name in source.targets and key != "numbers":
                raise DataError(f"{source.where}: target '{name}' is listed in {key}; take it out")
    plan_columns(source.frame.select(data.numbers), Wishes(numbers=data.numbers), where=source.where)
    for key in ("groups", "split_column"):
        name = getattr(data, key)
        if name:
            _require_column(name, source, f"column ({key})")
            if name in source.targets:
                raise DataError(f"{source.where}: {key} = '{name}' is the target; choose another column")


def _split(source: _Source, target: Target, data: TableData, given: set[str], *, seed: int, notes: list[str]) -> Split:
    where, frame = source.where, source.frame
    if data.split_column:
        return split_by_column(frame[data.split_column], where=where)
    validation = 0.0 if "validation" in given else data.validation
    test = 0.0 if "test" in given else data.test
    if not test and "test" not in given:
        notes.append("no rows are kept for a test: the winner's score on fresh data will not be known")
    if frame.height < 1 + (validation > 0) + (test > 0) or frame.height < 2:
        rows = f"{frame.height} row{'s' * (frame.height > 1)}"
        raise DataError(f"{where}: has {rows}, too few to train on and score; give more data")
    stratified = target.task == "classification" and data.stratify
    return split_randomly(
        frame.height,
        validation=validation,
        test=test,
        classes=target.encode(frame, where=where) if stratified else None,
        groups=frame[data.groups] if data.groups else None,
        seed=seed,
        where=where,
        notes=notes,
    )


def _check_training(target: Target, training: pl.DataFrame, where: str) -> None:
    """A part may lack what the whole table has."""
    encoded = target.encode(training, where=where)
    if target.task == "classification":
        absent = [label for i, label in enumerate(target.classes) if i not in set(encoded.tolist())]
        if absent:
            raise DataError(f"{where}: no training row is of class '{absent[0]}'; split otherwise, or give more data")
    elif not np.ptp(encoded, axis=0).all():
        raise DataError(f"{where}: a target has one value only in the training part; give more data")


def _note_whole_numbers(frame: pl.DataFrame, target: Target, task: str, notes: list[str]) -> None:
    name, classes = target.columns[0], len(target.classes)
    guessed = task == "auto" and classes > 2 and as_numbers(frame[name], NumberStyle()).null_count() == 0
    if guessed and not frame[name].dtype.is_temporal():
        notes.append(
            f"target '{name}' holds {classes} different whole numbers, taken for classes; "
            "if it is a quantity, write task = 'regression'"
        )


def _note_repeats(source: _Source, used: list[str], notes: list[str]) -> None:
    rows = source.frame.select([*used, *source.targets])
    repeated = rows.height - rows.unique().height if _hashable(rows) else 0
    if repeated:
        rows_repeat = "1 row repeats" if repeated == 1 else f"{repeated} rows repeat"
        notes.append(f"{rows_repeat} an earlier one; a row and its repeat may be in different parts")


def _hashable(frame: pl.DataFrame) -> bool:
    return not any(kind.is_nested() or kind == pl.Object for kind in frame.dtypes)
