"""Texts without labels: read from files, or what comes with the tuner's own packages; in two parts."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from objectives.plain_text import decode
from objectives.pretraining.locale_names import names_by_language, split_lists
from objectives.pretraining.options import PretrainingData
from tuner.errors import DataError
from tuner.sections import nearest

NAMES = ("locale_names",)
"""The built-in data sets that ``source`` may name."""
LEAST = 20
"""Texts that pre-training needs at least."""


@dataclass(frozen=True, kw_only=True)
class PreparedTexts:
    """Texts in parts."""

    where: str
    """What to call the source in messages."""
    training: Sequence[str]
    validation: Sequence[str]
    notes: Sequence[str] = ()


def prepare_texts(data: PretrainingData, *, seed: int) -> PreparedTexts:
    """Return the different texts of a study file's ``[data]``, split at random by ``seed`` alone.

    Raises:
        DataError: when there are none, with one line that names the file and the remedy.
    """
    if data.source in NAMES and not Path(data.source).is_file():
        training, validation = split_lists(names_by_language(), validation=data.validation, seed=seed)
        return PreparedTexts(where=data.source, training=training, validation=validation)
    where, found = _read(data)
    texts = list(dict.fromkeys(text for text in (one.strip() for one in found) if text))
    notes = []
    if len(texts) < len(found):
        notes.append(f"{len(found) - len(texts)} of {len(found)} texts are empty or repeat an earlier one")
    if len(texts) < LEAST:
        raise DataError(f"{where}: {len(texts)} different texts; pre-training needs {LEAST} at least")
    random.Random(seed).shuffle(texts)
    held_out = max(1, round(len(texts) * data.validation))
    return PreparedTexts(where=where, training=texts[held_out:], validation=texts[:held_out], notes=tuple(notes))


def _read(data: PretrainingData) -> tuple[str, list[str]]:
    known = ", ".join(NAMES)
    path = Path(data.source).expanduser()
    if not data.source:
        raise DataError(f"[data]: source is missing; name a .txt file, a folder, a table, or one of {known}")
    if path.is_dir():
        files = sorted(file for file in path.rglob("*.txt") if file.is_file())
        if not files:
            raise DataError(f"{path}: there is no .txt file in this folder")
        return path.name, [text for file in files for text in _split(_decoded(file, data.encoding), data.unit)]
    if path.suffix == ".txt" and path.is_file():
        return path.name, _split(_decoded(path, data.encoding), data.unit)
    if "." not in data.source and not path.exists():
        hint = nearest(data.source, NAMES) or f"; built in: {known}"
        raise DataError(f"{data.source}: no such file or folder and no built-in data set{hint}")
    return path.name, _column(data)


def _split(text: str, unit: str) -> list[str]:
    if unit == "file":
        return [text]
    return text.splitlines() if unit == "line" else re.split(r"\n\s*\n", text)


def _decoded(path: Path, encoding: str) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    return decode(content, encoding, where=str(path))[0]


def _column(data: PretrainingData) -> list[str]:
    """Return the texts of a column of a table, those that are missing left out."""
    import polars as pl

    from objectives.tables.delimited import ReadOptions
    from objectives.tables.reading import read_table

    options = ReadOptions(
        delimiter=data.delimiter,
        encoding=data.encoding,
        header=data.header,
        missing_values=tuple(data.missing_values),
    )
    frame, _ = read_table(data.source, options)
    where = Path(data.source).name
    name = data.text or (frame.columns[0] if frame.width == 1 else "text")
    if name not in frame.columns:
        listed = ", ".join(frame.columns[:12])
        if not data.text:
            raise DataError(f"{where}: which column holds the texts? write text = …, one of {listed}")
        raise DataError(f"{where}: no column '{name}'{nearest(name, frame.columns) or '; columns: ' + listed}")
    if frame[name].dtype != pl.String:
        raise DataError(f"{where}: column '{name}' holds {frame[name].dtype}, not texts")
    return list(frame[name].drop_nulls())
