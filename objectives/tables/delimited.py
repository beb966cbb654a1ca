"""CSV, TSV and their kin: encodings, delimiters, headers; every field is read as text."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from objectives.plain_text import UTF_16, decode
from tuner.errors import DataError

_DELIMITERS = (",", ";", "\t", "|")
_SNIFFED_LINES = 50
_SNIFFED_CHARACTERS = 1_000_000
_LONGEST_NAME = 300
"""Characters of a column's name: of a question in a survey, say."""


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a person may say about a file."""

    delimiter: str = ""
    encoding: str = ""
    header: bool = True
    missing_values: Sequence[str] = ()
    targets: bool = True
    """Whether what is to be learned must be in it; of new rows one column may be all there is."""


def read_delimited(name: str, data: bytes, options: ReadOptions, notes: list[str]) -> pl.DataFrame:
    """Return the table of text columns in ``data``; see :func:`objectives.tables.reading.read_table`.

    A blank line is no row. Only in a table of one column it is: there it is how a missing value may be written.
    """
    text = _decode(name, data, options.encoding, notes)
    try:
        return _parse(name, text, options)
    except csv.Error as error:
        raise DataError(f"{name}: cannot be read as CSV: {error}; is a quotation mark left open?") from None


def _parse(name: str, written: str, options: ReadOptions) -> pl.DataFrame:
    text = re.sub(r"\A(?: *\r?\n)+", "", written)
    tabbed = name.lower().removesuffix(".gz").endswith((".tsv", ".tab"))
    delimiter = options.delimiter.replace("\\t", "\t") or _sniff(text, prefer="\t" if tabbed else "")
    if len(delimiter) != 1:
        raise DataError(f"{name}: delimiter = {options.delimiter!r} must be one character")
    header = next(_rows(text, delimiter), None)
    if header is None:
        raise DataError(f"{name}: is empty")
    header = [" ".join(name.split()) for name in header]  # a spreadsheet may break a long one into lines
    _check_header(name, header, delimiter, options, text)
    if len(header) > 1:
        text = _without_blank_lines(text, delimiter)
    try:
        frame = pl.read_csv(
            io.BytesIO(text.encode()), separator=delimiter, infer_schema=False, has_header=options.header
        )
    except (pl.exceptions.ComputeError, pl.exceptions.SchemaError) as error:
        wrong = _open_quote(name, written, delimiter) or _ragged(name, written, delimiter)
        raise DataError(wrong or f"{name}: {str(error).splitlines()[0]}") from None
    names = header if options.header else [""] * frame.width
    frame.columns = [name or f"column {i}" for i, name in enumerate(names, 1)]
    return frame


def _decode(name: str, data: bytes, encoding: str, notes: list[str]) -> str:
    if not encoding and not data.startswith(UTF_16) and b"\0" in data[:100_000]:
        raise DataError(f"{name}: holds binary data, not text; if it is text in UTF-16, write encoding = 'utf-16'")
    text, guessed = decode(data, encoding, where=name)
    control = sum(byte < 32 and byte not in (9, 10, 12, 13) for byte in data[:10_000])
    if "\0" in text[:100_000] or (guessed and control > len(data[:10_000]) // 100):
        raise DataError(f"{name}: holds binary data, not text{f' in {encoding}' if encoding else ''}")
    if guessed:
        notes.append("is not UTF-8; read as Windows-1252 (say otherwise with encoding = …)")
    return text if "\n" in text else text.replace("\r", "\n")


def _without_blank_lines(text: str, delimiter: str) -> str:
    """Return the text without its blank lines, but for those inside a quoted field."""
    if not re.search(r"\n(?: *\r?\n| +\Z)", text):  # as in most files; what follows takes seconds for a large one
        return text
    quoted = rf'"(?<![^{re.escape(delimiter)}\n]")[^"]*(?:""[^"]*)*"?'
    return re.sub(rf"({quoted})|(\n)(?: *\r?\n)+(?: +\Z)?|(\n) +\Z", r"\1\2\3", text)


def _rows(text: str, delimiter: str) -> Any:
    return csv.reader(io.StringIO(text, newline=None), delimiter=delimiter)


def _fields(text: str, delimiter: str, lines: int) -> list[int]:
    """The number of fields of each of the first lines that are not blank."""
    head = text[:_SNIFFED_CHARACTERS]
    cut = len(text) > len(head) and head.count("\n") < lines * 2  # then the last line is not whole
    rows = itertools.islice(_rows(head, delimiter), lines * 2)
    try:
        counts = [len(row) for row in rows if row]
    except csv.Error:
        return []
    return counts[: len(counts) - cut or 1][:lines]


def _sniff(text: str, *, prefer: str) -> str:
    """Return the delimiter that cuts the first lines into the most fields, the same number on each line.

    Where several do (3,5;2,5;1), it is the one that leaves the most numbers.
    """
    fitting: dict[str, int] = {}
    for delimiter in dict.fromkeys((prefer or ",", *_DELIMITERS)):
        counts = _fields(text, delimiter, _SNIFFED_LINES)
        if counts and min(counts) == max(counts) > 1:
            fitting[delimiter] = counts[0]
    best = [delimiter for delimiter, fields in fitting.items() if fields == max(fitting.values())]
    if best:
        return best[0] if len(best) == 1 else max(best, key=lambda delimiter: _numbers(text, delimiter))
    header = next(_rows(text, ","), [""])  # no delimiter fits all lines: trust the header's commonest
    line = ",".join(header)
    delimiters = (prefer or ",", *_DELIMITERS)
    return max(delimiters, key=line.count) if any(d in line for d in _DELIMITERS) else delimiters[0]


def _numbers(text: str, delimiter: str) -> int:
    """How many fields of the first lines are numbers."""
    rows = itertools.islice(_rows(text[:_SNIFFED_CHARACTERS], delimiter), _SNIFFED_LINES)
    return sum(bool(re.fullmatch(r"\s*[+-]?[\d.,]*\d\s*", field)) for row in rows for field in row)


def _check_header(name: str, header: list[str], delimiter: str, options: ReadOptions, text: str) -> None:
    if len(header) == 1 and options.targets:
        shown = header[0][:40]
        other = _sniff(text, prefer="")
        if other != delimiter and other in header[0]:
            raise DataError(f"{name}: delimiter {delimiter!r} finds one column, '{shown}'; write delimiter = {other!r}")
        raise DataError(
            f"{name}: has one column, '{shown}'; a table needs a target and at least one more column "
            "(is the delimiter another? write delimiter = …)"
        )
    if not options.header:
        return
    long = max(header, key=len, default="")
    if len(long) > _LONGEST_NAME:
        raise DataError(
            f"{name}: a column's name has {len(long)} characters ('{long[:40]}…'); is a quotation mark left open?"
        )
    for i, column in enumerate(header):
        if column and column in header[:i]:
            raise DataError(
                f"{name}: two columns are called '{column}' (number {header.index(column) + 1} and {i + 1}); rename one"
            )
    if all(re.fullmatch(r"[+-]?\d*\.?\d+(e[+-]?\d+)?", column, re.I) for column in header):
        raise DataError(f"{name}: the first line holds numbers, not column names; add names or write header = false")


def _open_quote(name: str, text: str, delimiter: str) -> str:
    rows = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter, strict=True)
    line = 1
    try:
        for _ in rows:
            line = rows.line_num + 1
    except csv.Error:
        return (
            f"{name}: line {line}: a quotation mark opens a text and does not end it; close it, or, where it belongs "
            'to the text, write it twice ("")'
        )
    return ""


def _ragged(name: str, text: str, delimiter: str) -> str:
    rows = _rows(text, delimiter)
    expected = len(next(row for row in rows if "".join(row).strip()))
    for row in rows:
        if len(row) > expected:
            return f"{name}: line {rows.line_num} has {len(row)} fields, the header has {expected}; mend that line"
    return ""
