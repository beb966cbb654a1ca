"""``tuner studies``, ``status`` and ``delete``."""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING, Any

import click

from tuner import study as api
from tuner.cli.options import common, study_argument
from tuner.cli.printing import hint, pairs, print_data, say_hidden, wrapped
from tuner.cli.tables import print_table, terminal_width
from tuner.columns import Column
from tuner.errors import UsageError
from tuner.output import ago, number, params_line, score
from tuner.results import Results

if TYPE_CHECKING:
    from storage import SQLStorage
    from tuner.results import Status

STUDY_KEYS = ("name", "state", "metrics", "directions", "counts", "budget", "done", "workers", "best", "stopped")
_ENDED = ("finished", "pruned", "diverged", "failed")


@click.command(short_help="List the studies.")
@common()
def studies(storage: str | None, output: str) -> None:
    """List the studies of the storage: how far they are, what is best, who works on them.

    \b
    tuner studies
    tuner studies --storage postgresql://tuner@db/tuner -o json
    """
    opened = _opened_or_none(storage)
    found = [] if opened is None else [_loaded(opened, study.study_name) for study in opened.get_all_studies()]
    records = [study_record(results) for results in found]
    if output != "table":
        print_data(records, output, keys=STUDY_KEYS)
    elif not records:
        where = opened.safe_url if opened is not None else api.storage_url(storage)
        hint(f"there are no studies in {where} yet; `tuner start breast_cancer` makes one")
    else:
        say_hidden(print_table(_study_columns(records)))


@click.command(short_help="Tell how a study stands.")
@study_argument
@common()
def status(study: str, storage: str | None, output: str) -> None:
    """Tell how STUDY stands: trials by state, workers, the best so far, why the last run ended.

    \b
    tuner status churn
    tuner status churn -o json | jq .counts.finished
    """
    results = api.load(study, storage=storage)
    now = results.status()
    record = study_record(results, now)
    if output != "table":
        print_data(record, output)
        return
    width = terminal_width()
    facts = [("study", study), ("state", record["state"] + _workers(now.workers)), ("trials", _trials_line(now))]
    for name, direction in zip(results.metric_names, results.directions, strict=True):
        facts.append(("metric", f"{name} ({direction})"))
    if len(now.best) == 1:
        values = ", ".join(score(value) for value in now.best[0].values.values())
        params = wrapped(params_line(now.best[0].params), width and width - 11)
        facts.append(("best", f"{values} by trial {now.best[0].number}\n{params}".rstrip()))
    elif now.best:
        facts.append(("best", f"a front of {len(now.best)} trials; `tuner best {study}` shows it"))
    facts.append(("active", ago(_moment(record["last_activity"]), dt.datetime.now().astimezone())))
    if now.stopped:
        facts.append(("last run", now.stopped))
    facts.append(("storage", results.storage.safe_url))
    pairs(facts)


@click.command(short_help="Remove a study and its trials.")
@study_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--checkpoints", is_flag=True, help="Only the checkpoints that need not be kept.")
@click.option("--dry-run", is_flag=True, help="With --checkpoints: say what would go, and delete nothing.")
@common(output=False)
def delete(study: str, yes: bool, checkpoints: bool, dry_run: bool, storage: str | None) -> None:
    """Remove STUDY with all its trials, or its spare checkpoints. There is no way back.

    \b
    tuner delete churn --yes
    tuner delete churn --checkpoints --dry-run
    """
    if dry_run and not checkpoints:
        raise UsageError("--dry-run goes with --checkpoints; without --yes nothing is removed unasked either")
    if checkpoints:
        _clean(study, dry_run=dry_run, storage=storage)
        return
    results = api.load(study, storage=storage)
    if not yes:
        count = results.status().counts
        trials = sum(count.values())
        if not _somebody_is_here():
            raise UsageError(f"study '{study}' has {trials} trials and nobody is here to confirm; write --yes")
        if not click.confirm(f"Remove study '{study}' with its {trials} trials?", err=True):
            hint("nothing is removed")
            raise click.exceptions.Exit(1)
    api.delete(study, storage=storage)
    hint(f"study '{study}' is removed")


def _clean(study: str, *, dry_run: bool, storage: str | None) -> None:
    gone = api.clean(study, storage=storage, preview=dry_run)
    for deletion in gone:
        record = deletion.record
        click.echo(f"trial {deletion.number}, epoch {record.epoch}: {record.bytes:,} bytes ({deletion.reason})")
    size = sum(deletion.record.bytes for deletion in gone)
    hint(f"{len(gone)} checkpoints, {size:,} bytes {'would go' if dry_run else 'are gone'}")


def state_of(status: Status) -> str:
    """Return in a word how a study stands: running, done, stopped or new."""
    if status.workers or status.counts["running"]:
        return "running"
    if status.budget is not None and status.done >= status.budget:
        return "done"
    return "stopped" if status.done or status.stopped or status.counts["interrupted"] else "new"


def _somebody_is_here() -> bool:
    return sys.stdin.isatty()


def _opened_or_none(storage: str | None) -> SQLStorage | None:
    """The storage; ``None`` when nobody named one and the default file is not there yet."""
    from tuner.errors import StorageNotFoundError

    try:
        return api.open_storage(storage)
    except StorageNotFoundError:
        if api.storage_url(storage) != api.DEFAULT_STORAGE:
            raise
        return None


def _loaded(opened: SQLStorage, name: str) -> Results:
    return Results(opened, name, opened.get_study_id_from_name(name))


def study_record(results: Results, status: Status | None = None) -> dict[str, Any]:
    """Return a study for programs; these keys are a stable interface."""
    status = status or results.status()
    return {
        "name": status.name,
        "state": state_of(status),
        "metrics": list(results.metric_names),
        "directions": list(results.directions),
        "counts": dict(status.counts),
        "budget": status.budget,
        "done": status.done,
        "workers": status.workers,
        "best": [row.to_json() for row in status.best],
        "stopped": status.stopped,
        "last_activity": _last_activity(results),
        "storage": results.storage.safe_url,
    }


def _last_activity(results: Results) -> str | None:
    moments = [
        row.started + dt.timedelta(seconds=row.seconds or 0 if row.state in _ENDED else 0)
        for row in results.trials()
        if row.started is not None
    ]
    return max(moments).isoformat(timespec="seconds") if moments else None


def _study_columns(records: list[dict[str, Any]]) -> list[Column]:
    now = dt.datetime.now().astimezone()
    return [
        Column(title="study", cells=[record["name"] for record in records], left=True),
        Column(title="state", cells=[record["state"] + _workers(record["workers"]) for record in records], left=True),
        Column(title="trials", cells=[_of_budget(record["done"], record["budget"]) for record in records]),
        Column(title="best", cells=[_best_value(record) for record in records], rank=1),
        Column(title="metric", cells=[", ".join(record["metrics"]) for record in records], left=True, rank=3),
        Column(
            title="last activity",
            cells=[ago(_moment(record["last_activity"]), now) for record in records],
            left=True,
            rank=2,
        ),
    ]


def _best_value(record: dict[str, Any]) -> str:
    best = record["best"]
    if len(best) > 1:
        return f"front of {len(best)}"
    return ", ".join(score(value) for value in best[0]["values"].values()) if best else "–"


def _moment(text: str | None) -> dt.datetime | None:
    return None if text is None else dt.datetime.fromisoformat(text)


def _workers(count: int) -> str:
    return f" ({count} worker{'s' if count != 1 else ''})" if count else ""


def _of_budget(done: int, budget: int | None) -> str:
    return f"{done}" if budget is None else f"{done}/{budget}"


def _trials_line(status: Status) -> str:
    head = f"{status.done} done" if status.budget is None else f"{status.done} of {status.budget} done"
    parts = [f"{number(count)} {state}" for state, count in status.counts.items() if count]
    return f"{head}: {', '.join(parts)}" if parts else head
