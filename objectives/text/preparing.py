"""From the ``[data]`` of a study file to texts with targets, in parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from objectives.tables.labelled import Rows, known_rows, note_repeats, read_others, read_rows, split_labelled
from objectives.tables.options import as_list
from objectives.tables.reading import normalise
from objectives.tables.target import Target
from objectives.text.columns import text_column
from objectives.text.datasets import NAMES, load_built_in
from objectives.text.folders import CLASS, TEXT, read_folder
from objectives.text.options import TextData
from tuner.errors import DataError
from tuner.sections import nearest


@dataclass(frozen=True, kw_only=True)
class PreparedTexts:
    """Texts that are ready to be tokenized."""

    where: str
    column: str
    """The column they come from."""
    texts: Mapping[str, Sequence[str]]
    """By part: ``training``, ``validation`` and, unless none is kept, ``test``."""
    targets: Mapping[str, NDArray[Any]]
    """By part: class numbers ``[N]``, or standardised values ``[N, T]``."""
    target: Target
    notes: Sequence[str]
    """What a person should know."""


def prepare_texts(data: TextData, *, task: str, seed: int) -> PreparedTexts:
    """Return the texts of a study file's ``[data]``; their random split depends on ``seed`` alone.

    Raises:
        DataError: when they cannot be used, with one line that names the file, the column and the remedy.
    """
    notes: list[str] = []
    rows, given = _read_source(data, notes)
    split_columns = [name for name in (data.groups, data.split_column) if name]
    column = text_column(rows, data.text, split_columns)
    unused = {*rows.frame.columns} - {column, *rows.targets}
    rows = _with_texts(rows, column, data, notes)
    others = {
        part: _with_texts(other, column, data, notes)
        for part, other in (given | read_others(rows, data, notes, unused=unused)).items()
    }
    labelled = split_labelled(rows, others, data, task=task, seed=seed, notes=notes)
    if labelled.parts["training"].frame[column].n_unique() == 1:
        raise DataError(
            f"{rows.where}: every text in '{column}' that is trained on is the same; there is nothing to learn from"
        )
    note_repeats(rows, [column], notes)
    return PreparedTexts(
        where=rows.where,
        column=column,
        texts={part: its.frame[column].to_list() for part, its in labelled.parts.items()},
        targets={part: labelled.target.encode(its.frame, where=its.where) for part, its in labelled.parts.items()},
        target=labelled.target,
        notes=tuple(notes),
    )


def _read_source(data: TextData, notes: list[str]) -> tuple[Rows, dict[str, Rows]]:
    """Return the rows to train on, or to be split, and those of the parts that the source gives by itself."""
    known = ", ".join(NAMES)
    if not data.source:
        raise DataError(f"[data]: source is missing; name a file, a folder of class folders, or one of {known}")
    path = Path(data.source).expanduser()
    if data.source in NAMES and not path.is_file():
        frame, defaults = load_built_in(data.source)
        rows = Rows(where=data.source, frame=normalise(frame), targets=as_list(data.target) or defaults)
        return known_rows(rows, data, notes), {}
    if path.is_dir():
        return _read_classes(path, data, notes)
    if "." not in data.source and not path.exists():
        hint = nearest(data.source, NAMES) or f"; built in: {known}"
        raise DataError(f"{data.source}: no such file or folder and no built-in data set{hint}")
    return read_rows(data, notes), {}


def _read_classes(folder: Path, data: TextData, notes: list[str]) -> tuple[Rows, dict[str, Rows]]:
    for key, column in (("target", CLASS), ("text", TEXT)):
        written = getattr(data, key)
        if written and as_list(written) != [column]:
            raise DataError(f"{folder.name}: {key} = '{written}', but class folders have no columns; take {key} out")
    try:
        parts = read_folder(folder, encoding=data.encoding, notes=notes)
    except OSError as error:
        raise DataError(f"{error.filename or folder}: cannot be read: {error.strerror or error}") from None
    for part, key in (("validation", "validation_file"), ("test", "test_file")):
        if part in parts and getattr(data, key):
            raise DataError(f"{folder.name}: has a folder for {part}, and {key} is given too; keep one")
    return parts.pop("training"), parts


def _with_texts(rows: Rows, column: str, data: TextData, notes: list[str]) -> Rows:
    """Do with rows that have no text what a person wants."""
    missing = rows.frame[column].null_count()
    if not missing:
        return rows
    of = f"{missing} of {rows.frame.height} rows"
    if data.missing_text == "refuse":
        raise DataError(
            f"{rows.where}: '{column}' holds no text in {of}; mend them, or write missing_text = 'drop' or 'empty'"
        )
    if data.missing_text == "empty":
        notes.append(f"{rows.where}: '{column}' holds no text in {of}, which count as empty texts")
        return replace(rows, frame=rows.frame.with_columns(rows.frame[column].fill_null("")))
    notes.append(f"{rows.where}: '{column}' holds no text in {of}, which were dropped")
    return replace(rows, frame=rows.frame.drop_nulls(column))
