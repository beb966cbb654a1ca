"""What texts say: numbers in the ways people write them, dates, yes and no."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

YES = frozenset({"true", "yes", "t", "y", "on"})
NO = frozenset({"false", "no", "f", "n", "off"})

_NUMBER = r"^(?:[$€£¥]\s*)?([+-]?[\d.,'\s]*\d\.?(?:[eE][+-]?\d+)?)\s*([%°A-Za-zµ²³/]{0,6})$"
_GROUPED = r"^[+-]?[1-9]\d{{0,2}}(?:{0}\d{{2,3}})*{0}\d{{3}}(?:{1}\d*)?(?:[eE][+-]?\d+)?$"
"""Thousands, or lakhs and crores, by their sign and that of decimals."""
_THOUSANDS = _GROUPED.format(",", r"\.")
_TIMES = (" %H:%M:%S%.f", " %H:%M", " %I:%M:%S %p", " %I:%M %p")
_OFFSET = r"(:\d\d(?:\.\d+)?)\s*(?:Z|([+-])(\d\d):?(\d\d))$"
"""How far from UTC a time is said to be."""
UTC = "%z"
"""Ends the format of a column that says it in several ways, and whose times are therefore made those of UTC."""
_DAYS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d.%m.%y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%d-%b-%Y",
    "%d-%b-%y",
)


@dataclass(frozen=True, kw_only=True)
class NumberStyle:
    """How a column writes its numbers."""

    decimal: str = "."
    """``.`` or ``,``; the other of the two groups thousands."""
    unit: str = ""
    """What follows each number: ``%``, ``kg``."""
    written: bool = False
    """Whether the numbers need more than plain reading: a unit, thousands, a currency, a decimal comma."""
    grouped: bool = False
    """Whether some of them group thousands: elsewhere 61.700 may as well be 61.7 with another sign of decimals."""

    @property
    def grouping(self) -> str:
        """The sign that groups thousands."""
        return "." if self.decimal == "," else ","

    def groups(self, texts: pl.Series) -> pl.Series:
        """Return which texts are numbers whose thousands are grouped, a sign for each three digits."""
        return texts.str.contains(_GROUPED.format(re.escape(self.grouping), re.escape(self.decimal)))


def number_style(texts: pl.Series) -> NumberStyle | None:
    """Return how most of ``texts`` write numbers, or None when too few of them are numbers."""
    present = texts.drop_nulls()
    if present.is_empty() or present.str.contains(r"^0\d+$").any():  # 02134 is a code, not a number
        return None
    if _is_mostly(present.cast(pl.Float64, strict=False), present):
        return NumberStyle()
    groups = present.str.extract_groups(_NUMBER).struct
    bodies, units = groups.field("1"), groups.field("2").drop_nulls().unique().to_list()
    if len(units) != 1:
        return None
    commas = bodies.filter(bodies.str.contains(",", literal=True).fill_null(False))
    both = commas.filter(commas.str.contains(".", literal=True))
    if not both.is_empty():
        decimal = "," if both.str.contains(r"\..*,").all() else "."
    else:
        decimal = "." if commas.is_empty() or commas.str.contains(_THOUSANDS).all() else ","
    style = NumberStyle(decimal=decimal, unit=units[0], written=True)
    style = replace(style, grouped=bool(style.groups(bodies).any()))
    return style if _is_mostly(as_numbers(present, style), present) else None


def _is_mostly(parsed: pl.Series, present: pl.Series) -> bool:
    """Whether nearly all could be read, or all but one text that is repeated ('unknown', '-')."""
    failed = parsed.null_count()
    if not failed:
        return True
    odd = present.filter(parsed.is_null())
    if odd.str.contains(r"\d").sum() > len(present) * 0.01:  # 207, 207a, 208: codes, not numbers
        return False
    if failed <= len(present) * 0.05:
        return True
    return failed <= len(present) / 2 and odd.n_unique() == 1 and parsed.n_unique() > 10


def as_numbers(series: pl.Series, style: NumberStyle) -> pl.Series:
    """Return the column as numbers; null for what is none."""
    kind = series.dtype
    if kind == pl.Duration:
        return series.dt.total_seconds(fractional=True)
    if kind == pl.Time:
        return series.cast(pl.Int64).cast(pl.Float64) / 1e9
    if kind != pl.String:
        return series.cast(pl.Float64, strict=False)
    if style.written:
        series = series.str.extract(_NUMBER, 1).str.replace_all(r"[\s']", "")
        marked = series.str.contains(style.grouping, literal=True).fill_null(False)
        odd = marked & ~style.groups(series).fill_null(False)  # 19568.57 is no number of 1.956.857
        decimals = series.str.contains(style.decimal, literal=True).any()
        if not decimals and (not style.grouped or odd.any()):
            odd = marked  # nothing shows that 61.700 is 61700
        series = series.set(odd, None)
        series = series.str.replace_all(style.grouping, "", literal=True).str.replace(",", ".", literal=True)
    return series.cast(pl.Float64, strict=False).fill_nan(None)


def date_format(texts: pl.Series) -> str | None:
    """Return the format in which the most of ``texts``, and nearly all, are dates, or None; see :data:`UTC`."""
    present = texts.drop_nulls()
    if present.is_empty() or not present.head(100).str.contains(r"\d[-/. ,A-Za-z]+\d").all():
        return None
    sample = present.unique(maintain_order=True).head(200)
    best, unread = None, math.inf
    for form in (day + time for day in _DAYS for time in ("", *_TIMES)):
        if _unread(sample, form) > len(sample) * 0.05:
            continue
        count = _unread(present, form)
        if count <= len(present) * 0.05 and count < unread:
            best, unread = form, count
        if not unread:
            break
    return best + UTC if best and _offsets(present).drop_nulls().n_unique() > 1 else best


def _unread(texts: pl.Series, form: str) -> int:
    return as_dates(texts, form).null_count()


def as_dates(series: pl.Series, form: str) -> pl.Series:
    """Return the column as points in time without a zone, which are as written or, see :data:`UTC`, UTC's.

    What is none is null.
    """
    if series.dtype != pl.String:
        times = series.cast(pl.Datetime("us"), strict=False) if series.dtype == pl.Date else series
        if not isinstance(times.dtype, pl.Datetime):
            return pl.Series(series.name, [None] * len(series), dtype=pl.Datetime("us"))
        return times.dt.replace_time_zone(None).cast(pl.Datetime("us"))
    plain = series.str.replace(r"(\d)T(\d)", "${1} ${2}").str.replace(_OFFSET, "${1}")
    local = form.removesuffix(UTC)
    if "%H" in form or "%I" in form:
        times = plain.str.to_datetime(local, strict=False, time_unit="us")
    else:
        times = plain.str.to_date(local, strict=False).cast(pl.Datetime("us"))
    if form != local:
        times -= (_offsets(series).fill_null(0) * 60_000_000).cast(pl.Duration("us"))
    return times.set(times.dt.year() < 1000, None)  # %Y reads '20' as the year 20


def _offsets(texts: pl.Series) -> pl.Series:
    """Return by how many minutes times are ahead of UTC; null where they do not say it."""
    found = texts.str.extract_groups(_OFFSET).struct
    minutes = found.field("3").cast(pl.Int64) * 60 + found.field("4").cast(pl.Int64)
    minutes *= found.field("2").replace_strict({"+": 1, "-": -1}, return_dtype=pl.Int64)
    return minutes.fill_null(0).set(found.field("1").is_null(), None)


def as_dates_or_iso(series: pl.Series, form: str) -> pl.Series:
    """Return the column as :func:`as_dates` does, and with it dates as 2026-01-31, which nobody reads otherwise."""
    dates = as_dates(series, form)
    zone = UTC if form.endswith(UTC) else ""
    if series.dtype == pl.String:
        for time in ("", *_TIMES[:2]):
            dates = dates.fill_null(as_dates(series, _DAYS[0] + time + zone))
    return dates


def as_labels(series: pl.Series, known: Sequence[str] = ()) -> pl.Series:
    """Return the column as the texts that name its levels; a whole number is written without a point.

    A value has its name whatever else the column holds. Only where ``known`` levels write it with a point, as those of
    a CSV file or of a model that was kept long ago may, it has theirs.
    """
    kind = series.dtype
    if kind == pl.String:
        return series
    if kind.is_float():
        pointed, plain = series.cast(pl.String), series.cast(pl.Int64, strict=False).cast(pl.String)
        whole = (series == series.round()) & (series.abs() < 1e15)
        return plain.zip_with(whole & (plain.is_in(known) | ~pointed.is_in(known)), pointed)
    if kind == pl.Boolean:
        return pl.Series(
            series.name, [None if v is None else str(v).lower() for v in series.to_list()], dtype=pl.String
        )
    return series.cast(pl.String)


def as_truth_labels(series: pl.Series, levels: Sequence[str]) -> pl.Series:
    """Return yes and no, in any of their spellings, as the ``levels`` spell them."""
    labels = as_labels(series).str.to_lowercase()
    for level in levels:
        words, digit = (YES, "1") if level.lower() in YES else (NO, "0")
        labels = labels.set(labels.is_in([*words, digit, f"{digit}.0"]).fill_null(False), level)
    return labels


def is_boolean(series: pl.Series) -> bool:
    """Whether the column says yes and no, in one of their common spellings."""
    if series.dtype == pl.Boolean:
        return True
    if series.dtype != pl.String:
        return False
    if series.head(1000).n_unique() > 10:
        return False
    words = {str(word).lower() for word in series.drop_nulls().unique().to_list()}
    return len(words) == 2 and len(words & YES) == 1 and len(words & NO) == 1
