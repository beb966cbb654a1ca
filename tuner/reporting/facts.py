"""What a study was: its objective, data, trials and time, as names and what they are."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tuner.columns import shortened
from tuner.output import duration

if TYPE_CHECKING:
    from tuner.reporting.snapshot import Snapshot


def about(study: Snapshot) -> Iterator[tuple[str, str]]:
    """Yield what is known, the value empty where it is not."""
    yield "metric", ", ".join(f"{name} ({direction})" for name, direction in study.directions.items())
    yield "objective", str(study.spec.get("objective", {}).get("name", "" if study.spec else "a study of plain Optuna"))
    yield from _data(study.results.data)
    yield "trials", _counts(study)
    yield "when", _when(study)
    search = study.spec.get("search", {})
    named = [what for what in ("sampler", "pruner") if search.get(what, "auto") != "auto"]
    yield "search", ", ".join(f"{what} {search[what]}" for what in named)
    yield "ended", study.status.stopped or ""


def _data(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "data", str(data.get("source", ""))
    for what in ("rows", "texts"):
        yield what, _listed(data.get(what, ""))
    target = data.get("target")
    if isinstance(target, Mapping):
        yield "target", f"{_listed(target.get('columns', ''))} ({target.get('task', '')})"
        whole: Counter[str] = Counter()
        classes = target.get("classes")
        for part in classes.values() if isinstance(classes, Mapping) else ():
            if isinstance(part, Mapping):
                whole.update({label: count for label, count in part.items() if isinstance(count, int)})
        positive = f"; positive: {target['positive']}" if "positive" in target else ""
        yield "classes", shortened(_listed(whole) + positive)
    yield "notes", shortened(_listed(data.get("notes", "")))


def _listed(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(
            f"{name} {inner:,}" if isinstance(inner, int) else f"{name} {inner}" for name, inner in value.items()
        )
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def _counts(study: Snapshot) -> str:
    status = study.status
    of = f" of {status.budget:,}" if status.budget is not None else ""
    states = ", ".join(f"{count:,} {state}" for state, count in status.counts.items() if count)
    return f"{status.done:,}{of} done: {states}"


def _when(study: Snapshot) -> str:
    started = [row.started for row in study.rows if row.started is not None]
    if not started:
        return ""
    began = min(started)
    ended = max(row.started + dt.timedelta(seconds=row.seconds or 0) for row in study.rows if row.started is not None)
    spent = sum(row.seconds or 0 for row in study.rows)
    until = f"{ended:%H:%M}" if ended.date() == began.date() else f"{ended:%Y-%m-%d %H:%M}"
    until = "now" if study.status.counts["running"] else until
    return f"{began:%Y-%m-%d %H:%M} to {until}; the trials took {duration(spent)} in all"
