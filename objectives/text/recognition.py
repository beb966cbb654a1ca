"""Whether data is so plainly text that nobody need say so. Free of torch and scikit-learn."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from objectives.tables.delimited import ReadOptions, read_delimited
from objectives.text.columns import is_free
from objectives.text.folders import holds_texts
from tuner.errors import DataError

_FIRST_BYTES = 256 * 1024
_FIRST_ROWS = 1000
_LEAST_ROWS = 20


def is_text(source: Path) -> bool:
    """Whether a folder holds class folders of text files, or a table one column of free text and one other column."""
    try:
        if source.is_dir():
            return holds_texts(source)
        frame = _beginning(source)
    except (OSError, DataError, UnicodeError, pl.exceptions.PolarsError):
        return False
    # a table objective could make nothing of a column in which every text differs
    return (
        frame is not None
        and frame.width == 2
        and frame.height >= _LEAST_ROWS
        and sum(map(is_free, frame.iter_columns())) == 1
    )


def _beginning(path: Path) -> pl.DataFrame | None:
    """Return the first rows of a table, or nothing where it is none that this looks into."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return pl.read_parquet(path, n_rows=_FIRST_ROWS)
    if suffix not in (".csv", ".tsv", ".tab", ".jsonl", ".ndjson"):
        return None
    with path.open("rb") as file:
        data = file.read(_FIRST_BYTES)
        whole = not file.read(1)
    if not whole:
        data = data[: data.rfind(b"\n") + 1]
    if suffix in (".jsonl", ".ndjson"):
        return pl.read_ndjson(data)
    return read_delimited(path.name, data, ReadOptions(), [])
