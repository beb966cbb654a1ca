"""``tuner trials`` and ``tuner best``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import click

from tuner import attributes
from tuner import study as studies
from tuner.cli.options import common, study_argument
from tuner.cli.printing import hint, print_data, say_hidden
from tuner.cli.tables import print_table
from tuner.columns import outcome_columns, trial_columns
from tuner.output import columns, flat
from tuner.results import STATES, Results, TrialRow

_KEYS = ("number", "state", "values", "params", "attributes", "constraints", "started", "seconds")
"""Of a trial in JSON."""


@click.command(short_help="List the trials of a study.")
@study_argument
@click.option(
    "--sort",
    default="number",
    metavar="KEY",
    help="value (best first), number, seconds, state, a metric or a hyperparameter. Default: number.",
)
@click.option("--descending", "--reverse", is_flag=True, help="Turn the order round.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Print the first N only.")
@click.option("--state", type=click.Choice(STATES), help="Only trials in this state.")
@common()
def trials(
    *, study: str, sort: str, descending: bool, limit: int | None, state: str | None, storage: str | None, output: str
) -> None:
    """List the trials of STUDY.

    \b
    tuner trials churn --sort value --limit 10 -o csv
    """
    results = studies.load(study, storage=storage)
    found = results.trials(sort=sort, descending=descending, state=state)
    rows = list(islice(found, limit))
    if output != "table":
        _print_rows(results, rows, output)
        return
    if not rows:
        hint(f"study '{study}' has no {state + ' ' if state else ''}trials yet")
        return
    say_hidden(print_table(trial_columns(rows, results.metric_names)))
    if len(rows) < len(found):
        hint(f"({len(found) - len(rows)} more trials)")


@click.command(short_help="Show the best trials.")
@study_argument
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="The best N. Default: 1. A study of several metrics shows its Pareto front.",
)
@common()
def best(study: str, limit: int, storage: str | None, output: str) -> None:
    """Show the best finished trials of STUDY, or the Pareto front of several metrics.

    \b
    tuner best churn --limit 5
    tuner best churn -o json | jq .[0].params
    """
    results = studies.load(study, storage=storage)
    rows = results.best(limit)
    if output != "table":
        _print_rows(results, rows, output)
    elif len(rows) == 1:
        from tuner.cli.show import print_trial

        print_trial(results, rows[0])
    else:
        say_hidden(print_table(outcome_columns(rows, results.metric_names)))


def _print_rows(results: Results, rows: Sequence[TrialRow], output: str) -> None:
    """Print trials for programs; the columns of a CSV are the study's, whichever trials are printed."""
    records = [row.to_json() for row in rows]
    keys: Sequence[str] = _KEYS
    if output == "csv" and (every := results.trials()):
        searched = {f"params.{name}": None for name in attributes.searched(results.storage, results.study_id)}
        keys = columns([*(flat(row.to_json()) for row in every), searched])
        records = [dict.fromkeys(keys) | flat(record) for record in records]
    print_data(records, output, keys=keys)
