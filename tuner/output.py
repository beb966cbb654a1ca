"""How results are printed: for people as tables, for programs as JSON, JSON lines, CSV or YAML."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

FORMATS = ("table", "json", "jsonl", "csv", "yaml")


def dump(value: Mapping[str, Any] | Sequence[Mapping[str, Any]], form: str, *, keys: Sequence[str] = ()) -> str:
    """Return a record or a list of records as ``form`` writes it: one of :data:`FORMATS` but ``table``.

    Numbers keep their full precision; what JSON has no word for (NaN, infinity) is null. A list stays a list when it
    holds one record or none. ``keys`` are the columns that a CSV has even without records.
    """
    plain = as_json(value)
    if form == "json":
        return json.dumps(plain, indent=2, ensure_ascii=False)
    if form == "yaml":
        import yaml

        text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=10_000)
        return text.rstrip("\n")
    records = plain if isinstance(plain, list) else [plain]
    if form == "jsonl":
        return "\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    return _as_csv([flat(record) for record in records], keys)


def as_json(value: Any) -> Any:
    """Return ``value`` in what JSON can say."""
    if isinstance(value, Mapping):
        return {str(key): as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(inner) for inner in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dt.datetime):
        return value.isoformat(timespec="seconds")
    return str(value)


def flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return ``record`` with the keys of inner records joined by dots; lists become JSON."""
    result: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[prefix + key] = json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
    return result


def _as_csv(records: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> str:
    names = columns(records) or list(keys)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _csv_cell(value) for key, value in record.items()} for record in records)
    return text.getvalue().rstrip("\n")


def columns(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the keys of all records that are :func:`flat`; those of one group (``params.…``) stay together."""
    groups: dict[str, dict[str, None]] = {}
    for record in records:
        for key in record:
            groups.setdefault(key.partition(".")[0], {})[key] = None
    return [key for group in groups.values() for key in group]


def _csv_cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else value


def number(value: Any, *, digits: int = 4) -> str:
    """Return a hyperparameter, loss or count as a person reads it; ``–`` for none."""
    if value is None:
        return "–"
    if not isinstance(value, float) or not math.isfinite(value):
        return str(value).lower() if isinstance(value, bool) else printable(str(value))
    if value == 0 or 1e-3 <= abs(value) < 10**digits:
        return f"{value:.{digits}g}"
    mantissa, _, exponent = f"{value:.{digits - 2}e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def score(value: float | None) -> str:
    """Return a metric or loss with as many decimals as its neighbours have; ``–`` for none."""
    if value is None:
        return "–"
    if math.isfinite(value) and (value == 0 or 1e-3 <= abs(value) < 1e4):
        return f"{value:.4f}" if abs(value) < 100 else f"{value:.2f}"
    return number(value)


def duration(seconds: float | None) -> str:
    """Return ``12 ms``, ``0.4 s``, ``42 s``, ``3:05`` or ``2:03:05``; ``–`` for none."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 0.1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return clock(seconds)


def clock(seconds: float) -> str:
    """Return ``0:42``, ``3:05`` or ``2:03:05``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def ago(moment: dt.datetime | None, now: dt.datetime) -> str:
    """Return how long before ``now`` it was, in the largest unit."""
    if moment is None:
        return "–"
    seconds = max(0.0, (now - moment).total_seconds())
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count != 1 else ''} ago"
    return "just now" if seconds < 10 else f"{int(seconds)} seconds ago"


def params_line(params: Mapping[str, Any]) -> str:
    """Return hyperparameters as ``learning_rate 0.0031, depth 2``."""
    return ", ".join(f"{name} {number(value, digits=3)}" for name, value in params.items())


def printable(text: str) -> str:
    """Return ``text`` without what a terminal would obey: control characters become visible."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
