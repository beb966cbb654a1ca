"""Which column of a table holds the texts."""

from __future__ import annotations

import re
from collections.abc import Collection

import polars as pl

from objectives.tables.labelled import Rows, require_column
from objectives.tables.values import date_format, is_boolean, number_style
from tuner.errors import DataError

_TEXT_NAME = re.compile(
    r"text|sentence|review|comment|message|content|body|document|description|title|tweet|post|question|name", re.I
)
_SAMPLED = 2000
"""Rows by which a column is judged."""
_FREE_WORDS = 3.0
"""Words that free texts have at least, on average."""


def text_column(rows: Rows, written: str, unused: Collection[str]) -> str:
    """Return the name of the column of texts: the one ``written``, or the one that plainly holds them.

    Raises:
        DataError: when it holds no text, or when several columns or none may be meant.
    """
    if written:
        require_column(written, rows, "column (text)")
        if written in unused:
            raise DataError(f"{rows.where}: text = '{written}' serves the split; choose another column")
        if reason := _no_text(rows.frame[written]):
            raise DataError(f"{rows.where}: column '{written}' {reason}, not texts; choose another one with text = …")
        return written
    columns = [series for series in rows.frame if series.name not in {*rows.targets, *unused}]
    texts = [series for series in columns if not _no_text(series)]
    for found in (texts, [s for s in texts if is_free(s)], [s for s in texts if _TEXT_NAME.search(s.name)]):
        if len(found) == 1:
            return found[0].name
    if not texts:
        held = ", ".join(f"'{series.name}' {_no_text(series)}" for series in columns[:4])
        raise DataError(f"{rows.where}: no column beside the target holds texts" + (f" ({held})" if held else ""))
    listed = ", ".join(f"'{series.name}'" for series in texts[:8])
    raise DataError(f"{rows.where}: which column holds the texts? write text = …, one of {listed}")


def is_free(series: pl.Series) -> bool:
    """Whether a column holds texts of several words that seldom repeat."""
    sample = series.drop_nulls().head(_SAMPLED)
    if series.dtype != pl.String or sample.is_empty() or sample.n_unique() <= len(sample) / 2:
        return False
    return float(sample.str.count_matches(r"\S+").mean() or 0) >= _FREE_WORDS  # type: ignore[arg-type]


def _no_text(series: pl.Series) -> str:
    """What a column holds instead of texts, or nothing."""
    if series.dtype == pl.Null or not series.count():
        return "holds nothing"
    if series.dtype.is_numeric():
        return "holds numbers"
    if series.dtype != pl.String:
        return f"holds {series.dtype.base_type().__name__.lower()} values"
    sample = series.drop_nulls().head(_SAMPLED)
    if number_style(sample) is not None:
        return "holds numbers"
    if date_format(sample) is not None:
        return "holds dates"
    return "holds truth values" if is_boolean(series) else ""
