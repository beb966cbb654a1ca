"""Reading a table from a file, whatever its format; what cannot be read is refused in one clear line."""

from __future__ import annotations

import difflib
import gzip
import io
import math
import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from objectives.tables.delimited import ReadOptions, read_delimited
from tuner.errors import DataError
from tuner.models.samples import STDIN, content, named

MISSING = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None", "?")
"""Texts that mean a missing value."""


def read_table(source: str, options: ReadOptions) -> tuple[pl.DataFrame, list[str]]:
    """Return the table that a file holds, and notes for a person on how it was read.

    Texts are stripped, what means 'missing' is null, and a CSV file's columns are all text: what they hold is
    inferred later.

    Raises:
        DataError: when there is no such file or it holds no table.
    """
    path = Path(source).expanduser()
    return _parsed(path.name, _format(path), _bytes(path), options)


def read_unnamed(path: Path, options: ReadOptions) -> tuple[str, pl.DataFrame, list[str]]:
    """Return what to call a pipe, ``-`` (standard input) or another file without an ending, its table, and notes.

    It is CSV, unless its first bytes are those of Parquet or JSON lines.

    Raises:
        DataError: see :func:`read_table`.
    """
    name = named(path)
    data = _not_empty(name, content(path) if path == STDIN else _bytes(path))
    form = ".parquet" if data.startswith(b"PAR1") else ".jsonl" if data.lstrip()[:2] in (b'{"', b"[{") else ".csv"
    return (name, *_parsed(name, form, data, options))


def _parsed(name: str, form: str, data: bytes, options: ReadOptions) -> tuple[pl.DataFrame, list[str]]:
    reader = _READERS.get(form)
    if reader is None:
        known = ", ".join(sorted(_READERS))
        raise DataError(f"{name}: unknown format '{form}'; use one of {known}")
    _check_contents(name, form, data)
    notes: list[str] = []
    try:
        frame = reader(name, data, options, notes)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).strip().splitlines()[0][:150] if str(error).strip() else type(error).__name__
        raise DataError(f"{name}: cannot be read as {form[1:].upper()}: {reason}") from None
    if frame.width and frame.height == 0 and options.targets:
        raise DataError(f"{name}: has a header and no rows; nothing can be learned from it")
    if frame.width == 0:
        raise DataError(f"{name}: has no columns")
    return normalise(frame, options.missing_values), notes


def normalise(frame: pl.DataFrame, missing_values: Sequence[str] = ()) -> pl.DataFrame:
    """Return the frame with stripped texts, nulls for what is missing, and plain types."""
    markers = [*MISSING, *missing_values]
    return pl.DataFrame([_plain(series, markers) for series in frame])


def _plain(series: pl.Series, markers: Sequence[str]) -> pl.Series:
    kind = series.dtype
    if kind in (pl.String, pl.Categorical, pl.Enum):
        stripped = series.cast(pl.String).str.strip_chars()
        return stripped.set(stripped.is_in(markers), None)
    if kind.is_float() or kind.is_decimal() or kind == pl.Int128:
        series = series.cast(pl.Float64).fill_nan(None)
    if kind.is_numeric():
        numbers = [number for number in map(_number, markers) if number is not None]
        return series.set(series.cast(pl.Float64).is_in(numbers), None) if numbers else series
    return series


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _bytes(path: Path) -> bytes:
    if path.is_dir():
        tables = sorted(p.name for p in path.iterdir() if _format(p) in _READERS)
        if tables:
            raise DataError(f"{path}: is a folder; name a file in it: {', '.join(tables[:5])}")
        held = "" if any(one.is_file() for one in path.rglob("*")) else " (it holds no images and no texts)"
        raise DataError(f"{path}: is a folder; name a file{held}")
    try:
        data = content(path)
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file{_similar_file(path)}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise DataError(f"{path.name}: is not a gzip file, or is damaged") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    return _not_empty(path.name, data)


def _not_empty(name: str, data: bytes) -> bytes:
    if not data.strip():
        raise DataError(f"{name}: is empty")
    return data


def _similar_file(path: Path) -> str:
    try:
        names = [p.name for p in path.parent.iterdir() if p.is_file()]
    except OSError:
        return f"; there is no folder '{path.parent}' either"
    match = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    return f"; did you mean '{match[0]}'?" if match else ""


def _format(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


_SIGNATURES = (
    # first bytes, what it is, under which suffix that is right, what to do otherwise
    (b"PAR1", "a Parquet file", ".parquet", "; name it .parquet"),
    (b"PK\x03\x04", "a ZIP archive or a workbook", ".npz", "; save its sheet as CSV"),
    (b"\x93NUMPY", "a single NumPy array", "", "; save X and y with numpy.savez as .npz"),
    (b"\x1f\x8b", "compressed with gzip", "", "; name it .gz"),
    (b"\x89PNG", "an image", "", ""),
    (b"%PDF", "a PDF document", "", ""),
    (b"SQLite format 3", "an SQLite database", "", "; export the table as CSV"),
)


def _check_contents(name: str, form: str, data: bytes) -> None:
    """Refuse a file whose first bytes contradict its name."""
    for signature, what, right, remedy in _SIGNATURES:
        if data.startswith(signature) and form != right:
            raise DataError(f"{name}: is {what}, not {_ARTICLES[form]}{remedy}")
    if form == ".npz" and not data.startswith(b"PK"):
        raise DataError(f"{name}: is no NPZ file; save X and y with numpy.savez")


_ARTICLES = {
    ".csv": "a CSV file",
    ".txt": "a CSV file",
    ".tsv": "a TSV file",
    ".tab": "a TSV file",
    ".parquet": "a Parquet file",
    ".jsonl": "JSON lines",
    ".ndjson": "JSON lines",
    ".json": "a JSON file",
    ".npz": "an NPZ file",
}


def _read_parquet(name: str, data: bytes, options: ReadOptions, notes: list[str]) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(data))


_NO_JSON = re.compile(rb'"(?:[^"\\]|\\.)*"|\b(?:NaN|Infinity)\b')
"""Texts, in which nothing is looked for, and what Python's json writes for numbers that JSON has not."""


def _read_json_lines(name: str, data: bytes, options: ReadOptions, notes: list[str]) -> pl.DataFrame:
    if b"NaN" in data or b"Infinity" in data:
        data = _NO_JSON.sub(lambda found: _json(found[0], name), data)
    if data.lstrip()[:1] == b"[":
        return pl.read_json(io.BytesIO(data), infer_schema_length=None)
    return pl.read_ndjson(io.BytesIO(data), infer_schema_length=None)


def _json(written: bytes, name: str) -> bytes:
    if written == b"Infinity":
        raise DataError(
            f"{name}: holds Infinity, which is no number of JSON; write a number, or null where it is missing"
        )
    return b"null" if written == b"NaN" else written


def _read_npz(name: str, data: bytes, options: ReadOptions, notes: list[str]) -> pl.DataFrame:
    """``X [N, …]`` and ``y [N]`` or ``[N, T]``, or arrays ``[N]`` that are the columns."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, NotImplementedError, RuntimeError):
        raise DataError(f"{name}: cannot be read as NPZ; save it with numpy.savez") from None
    except ValueError as error:
        reason = "it holds Python objects, which are never loaded" if "allow_pickle" in str(error) else str(error)
        raise DataError(f"{name}: cannot be read as NPZ: {reason}; save plain number or text arrays") from None
    inputs = next((arrays[key] for key in ("X", "x", "data") if key in arrays and arrays[key].ndim >= 2), None)
    if inputs is None:
        if arrays and all(a.ndim == 1 for a in arrays.values()) and len({len(a) for a in arrays.values()}) == 1:
            return pl.DataFrame(arrays)
        raise DataError(
            f"{name}: has no array 'X' [rows, columns] (and 'y' [rows]); it holds {', '.join(arrays) or 'nothing'}"
        )
    targets = next((arrays[key] for key in ("y", "Y", "target") if key in arrays), None)
    flat = inputs.reshape(len(inputs), -1)
    columns = {f"x{i}": flat[:, i] for i in range(flat.shape[1])}
    if targets is None and not options.targets:
        return pl.DataFrame(columns)
    if targets is None:
        raise DataError(f"{name}: has no array 'y' with the targets; it holds {', '.join(arrays)}")
    if len(targets) != len(inputs):
        raise DataError(f"{name}: X has {len(inputs)} rows and y has {len(targets)}; they must agree")
    if targets.ndim == 1:
        columns["y"] = targets
    else:
        wide = targets.reshape(len(targets), -1)
        single = wide.shape[1] == 1
        columns |= {"y" if single else f"y{i}": wide[:, i] for i in range(wide.shape[1])}
    return pl.DataFrame(columns)


_READERS: dict[str, Callable[[str, bytes, ReadOptions, list[str]], pl.DataFrame]] = {
    ".csv": read_delimited,
    ".txt": read_delimited,
    ".tsv": read_delimited,
    ".tab": read_delimited,
    ".parquet": _read_parquet,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".json": _read_json_lines,
    ".npz": _read_npz,
}
