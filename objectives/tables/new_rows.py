"""New rows, of which the targets are to be found out: read as those of training were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from objectives.tables.arrays import feature_frame
from objectives.tables.labelled import ReadsFiles, read_options
from objectives.tables.reading import normalise, read_table, read_unnamed
from tuner.errors import DataError
from tuner.models.samples import plain_array


def read_new(data: Any, told: ReadsFiles, notes: list[str]) -> tuple[str, pl.DataFrame]:
    """Return what to call them, and the rows of a file, a DataFrame, an array or (of texts) a list.

    Raises:
        DataError: when they cannot be read, naming the file.
    """
    options = replace(read_options(told), targets=False)
    if not isinstance(data, Path):
        return "the data", normalise(_in_memory(data), options.missing_values)
    if data.suffix.lower() == ".npy" and data.is_file():
        return data.name, normalise(feature_frame(_array(data)), options.missing_values)
    if data.suffix or data.is_dir():
        name, (frame, read_notes) = data.name, read_table(str(data), options)
    else:
        name, frame, read_notes = read_unnamed(data, options)
    notes += read_notes
    return name, frame


def read_new_texts(data: Any, column: str, told: ReadsFiles, notes: list[str]) -> tuple[str, pl.DataFrame]:
    """Return what :func:`read_new` does; a list may also hold plain texts, which then are the column of that name."""
    if isinstance(data, list | tuple) and not any(isinstance(row, dict) for row in data):
        data = pl.DataFrame({column: data}, schema=None if data else {column: pl.String})
    return read_new(data, told, notes)


def _in_memory(data: Any) -> pl.DataFrame:
    if isinstance(data, pl.LazyFrame):
        data = data.collect()
    if isinstance(data, pl.DataFrame) or hasattr(data, "iloc"):
        return feature_frame(data)
    if isinstance(data, list) and data and all(isinstance(row, dict) for row in data):
        return pl.DataFrame(data, infer_schema_length=None)
    array = np.asarray(data)
    if array.ndim != 2:
        raise DataError("the data: rows are a DataFrame, a list of dicts, or an array [rows, columns]")
    return feature_frame(array)


def _array(path: Path) -> Any:
    array = plain_array(path)
    if array.ndim < 2:
        raise DataError(f"{path.name}: holds an array of {array.ndim} axes; rows and columns make two")
    return array.reshape(len(array), -1)
