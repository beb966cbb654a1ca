"""Rows with targets: read, split into parts, their target inferred and fitted. Tables, images and texts begin here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from objectives.tables.delimited import ReadOptions
from objectives.tables.options import LabelledData, as_list
from objectives.tables.reading import read_table
from objectives.tables.splitting import Split, split_by_column, split_randomly
from objectives.tables.target import Target, infer_target
from objectives.tables.values import NumberStyle, as_numbers
from tuner.errors import DataError
from tuner.sections import nearest

PARTS = ("training", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of one source."""

    where: str
    """What to call the source in messages."""
    frame: pl.DataFrame
    targets: list[str]
    """The target columns; in each of the rows, each has a value."""


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Rows in parts."""

    where: str
    parts: Mapping[str, Rows]
    """``training``, ``validation`` and, unless none is kept, ``test``."""
    target: Target
    """Fitted on the training part."""


def read_rows(data: LabelledData, notes: list[str]) -> Rows:
    """Return the rows of the file ``data.source``.

    Raises:
        DataError: when it cannot be used, naming the file, the column and the remedy.
    """
    frame, read_notes = read_table(data.source, read_options(data))
    notes += read_notes
    rows = Rows(where=Path(data.source).name, frame=frame, targets=as_list(data.target))
    if not rows.targets:
        raise DataError(
            f"{rows.where}: which column is the target? write --target COLUMN (target = … in a study file); "
            f"{listed(frame.columns)}"
        )
    return known_rows(rows, data, notes)


def read_others(rows: Rows, data: LabelledData, notes: list[str], *, unused: Collection[str] = ()) -> dict[str, Rows]:
    """Return the rows of ``validation_file`` and ``test_file``, where they are given, by part.

    They must have the columns of ``rows``, but for those that are ``unused``.

    Raises:
        DataError: when one cannot be used.
    """
    others = {"validation": data.validation_file, "test": data.test_file}
    return {part: _read_other(file, rows, data, notes, unused) for part, file in others.items() if file}


def _read_other(file: str, rows: Rows, data: LabelledData, notes: list[str], unused: Collection[str]) -> Rows:
    frame, read_notes = read_table(file, read_options(data))
    where = Path(file).name
    notes += [f"{where}: {note}" for note in read_notes]
    absent = [name for name in rows.frame.columns if name not in frame.columns and name not in unused]
    if absent:
        names = ", ".join(f"'{name}'" for name in absent[:8])
        raise DataError(f"{where}: column{'s' * (len(absent) > 1)} {names} absent, which {rows.where} has")
    return known_rows(Rows(where=where, frame=frame, targets=rows.targets), data, notes)


class ReadsFiles(Protocol):
    """``[data]`` that says how its files are written."""

    @property
    def delimiter(self) -> str: ...
    @property
    def encoding(self) -> str: ...
    @property
    def header(self) -> bool: ...
    @property
    def missing_values(self) -> list[str]: ...


def read_options(data: ReadsFiles) -> ReadOptions:
    """Return what a person said about their files."""
    return ReadOptions(
        delimiter=data.delimiter,
        encoding=data.encoding,
        header=data.header,
        missing_values=tuple(data.missing_values),
    )


def known_rows(rows: Rows, data: LabelledData, notes: list[str]) -> Rows:
    """Return the rows without those whose target is missing, when a person allowed it.

    Raises:
        DataError: when they did not, or none is left.
    """
    frame, where = rows.frame, rows.where
    for name in rows.targets:
        require_column(name, rows, "column")
        missing = frame[name].null_count()
        if missing == frame.height:
            raise DataError(f"{where}: every value of target '{name}' is missing; choose another column")
        if missing and data.missing_target == "refuse":
            raise DataError(
                f"{where}: target '{name}' is missing in {missing} of {frame.height} rows; "
                "mend them, or write missing_target = 'drop'"
            )
    known = frame.drop_nulls(rows.targets)
    if known.height < frame.height:
        gone = frame.height - known.height
        notes.append(f"{where}: {gone} row{'s' * (gone > 1)} without a target {'were' if gone > 1 else 'was'} dropped")
    if not known.height:
        raise DataError(f"{where}: no row has a value for every target")
    return Rows(where=where, frame=known, targets=rows.targets)


def require_column(name: str, rows: Rows, what: str) -> None:
    """Refuse rows without a column; ``what`` is what a person calls it.

    Raises:
        DataError: with the nearest column's name.
    """
    if name not in rows.frame.columns:
        hint = nearest(name, rows.frame.columns)
        raise DataError(f"{rows.where}: no {what} '{name}'{hint}{' ' if hint else '; '}{listed(rows.frame.columns)}")


def listed(columns: Sequence[str]) -> str:
    """Return a sentence that names the first columns."""
    more = f", … ({len(columns)} in all)" if len(columns) > 12 else ""
    names = [name if len(name) <= 24 else f"{name[:23]}…" for name in columns[:12]]
    return f"Columns: {', '.join(names)}{more}"


def note_repeats(rows: Rows, used: Sequence[str], notes: list[str]) -> None:
    """Note how many rows have the same target and the same in the ``used`` columns as an earlier one."""
    frame = rows.frame.select([*used, *rows.targets])
    hashable = not any(kind.is_nested() or kind == pl.Object for kind in frame.dtypes)
    repeated = frame.height - frame.unique().height if hashable else 0
    if repeated:
        rows_repeat = "1 row repeats" if repeated == 1 else f"{repeated} rows repeat"
        notes.append(f"{rows_repeat} an earlier one; a row and its repeat may be in different parts")


def split_labelled(
    rows: Rows, others: Mapping[str, Rows], data: LabelledData, *, task: str, seed: int, notes: list[str]
) -> Labelled:
    """Return the rows in parts: ``others`` are parts already, the rest follows from ``data`` and ``seed`` alone.

    Raises:
        DataError: when nothing can be learned from the target, or a part would be empty.
    """
    for key in ("groups", "split_column"):
        name = getattr(data, key)
        if name:
            require_column(name, rows, f"column ({key})")
            if name in rows.targets:
                raise DataError(f"{rows.where}: {key} = '{name}' is the target; choose another column")
    target = infer_target(rows.frame, rows.targets, task=task, positive=data.positive, where=rows.where)
    _note_whole_numbers(rows.frame, target, task, notes)
    split = _split(rows, target, data, set(others), seed=seed, notes=notes)
    drawn = {"training": split.training, "validation": split.validation, "test": split.test}
    parts = {
        part: Rows(where=rows.where, frame=rows.frame[numbers], targets=rows.targets) for part, numbers in drawn.items()
    } | dict(others)
    parts = {part: rows for part, rows in parts.items() if rows.frame.height}
    training = parts["training"].frame
    target = target.fit(target.encode(training, where=rows.where))
    _check_training(target, training, rows.where)
    return Labelled(where=rows.where, parts=parts, target=target)


def _split(rows: Rows, target: Target, data: LabelledData, given: set[str], *, seed: int, notes: list[str]) -> Split:
    where, frame = rows.where, rows.frame
    if data.split_column:
        return split_by_column(frame[data.split_column], where=where)
    validation = 0.0 if "validation" in given else data.validation
    test = 0.0 if "test" in given else data.test
    if not test and "test" not in given:
        notes.append("no rows are kept for a test: the winner's score on fresh data will not be known")
    if frame.height < 1 + (validation > 0) + (test > 0) or frame.height < 2:
        count = f"{frame.height} row{'s' * (frame.height > 1)}"
        raise DataError(f"{where}: has {count}, too few to train on and score; give more data")
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
