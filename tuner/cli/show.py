"""``tuner show``: one trial in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from tuner import attributes
from tuner import study as studies
from tuner.cli.confirm import confirmed_line
from tuner.cli.curves import plot
from tuner.cli.options import common, study_argument
from tuner.cli.printing import pairs, print_data
from tuner.cli.tables import print_table, terminal_width
from tuner.columns import Column, example_columns, score_columns, shortened
from tuner.output import ago, duration, number, printable, score

if TYPE_CHECKING:
    from tuner.results import Epoch, Results, TrialRow

_PLOT_HEIGHT = 8
_MOST_PLOT_WIDTH = 72
_TOLD_ELSEWHERE: Mapping[str, type] = {
    attributes.VERDICT: str,
    attributes.GENERALISATION_GAP: float,
    attributes.BEST_EPOCH: int,
    attributes.EPOCHS: int,
    attributes.STOPPED_EARLY: bool,
    attributes.NETWORK_PARAMETERS: int,
    attributes.USUAL: bool,
}
"""Of what type each is as the tuner notes it; plain Optuna may keep anything under these names."""
_SCORES = (attributes.TRAINING, attributes.VALIDATION, attributes.FINAL)


@click.command(short_help="Show one trial: its curve, scores and parameters.")
@study_argument
@click.argument("trial", type=int, metavar="TRIAL")
@common()
def show(study: str, trial: int, storage: str | None, output: str) -> None:
    """Show trial number TRIAL of STUDY: its hyperparameters, scores, curve, and why it failed if it did.

    With -o csv or jsonl the epochs are printed, one a line; with json or yaml the whole trial with its epochs.

    \b
    tuner show churn 37
    tuner show churn 37 -o csv > curve.csv
    """
    results = studies.load(study, storage=storage)
    row = results.trial(trial)
    if output == "table":
        print_trial(results, row)
        return
    epochs = [{"epoch": epoch.epoch, **epoch.scores} for epoch in results.epochs(trial)]
    if output in {"csv", "jsonl"}:
        print_data(epochs, output, keys=("epoch",))
    else:
        found = results.confirmation
        confirmed = found.to_json() if found is not None and found.of(trial) is not None else None
        print_data({**row.to_json(), "epochs": epochs, "confirmation": confirmed}, output)


def print_trial(results: Results, row: TrialRow) -> None:
    """Print one trial for a person."""
    pairs(_facts(results, row))
    for columns in (score_columns(row, results.metric_names), _confusion_columns(results, row), example_columns(row)):
        if columns:
            click.echo()
            print_table(columns)
    _print_curve(results, row)
    failure = attributes.failure(row.attributes)
    if failure.get("traceback"):
        click.echo()
        for line in str(failure["traceback"]).rstrip().splitlines():
            click.echo(printable(line))


def _facts(results: Results, row: TrialRow) -> list[tuple[str, str]]:
    import datetime as dt

    noted = row.attributes
    usual = ", the usual configuration" if noted.get(attributes.USUAL) is True else ""
    facts = [("trial", f"{row.number} of study {results.name}: {row.state}{usual}")]
    for (name, value), direction in zip(row.values.items(), results.directions, strict=False):
        facts.append((name, f"{score(value)}  ({direction}{', the last one reported' * (row.state == 'pruned')})"))
    if row.constraints:
        kept = "kept" if row.feasible else "not kept: each must be 0 or below"
        values = ", ".join(f"{name}: {number(value)}" for name, value in row.constraints.items())
        facts.append(("constraints", f"{values}  ({kept})"))
    failure = attributes.failure(noted)
    if failure:
        facts.append(("failure", f"{failure['class']}: {failure['reason']}"))
    if isinstance(noted.get(attributes.VERDICT), str):
        gap = noted.get(attributes.GENERALISATION_GAP)
        facts.append(("verdict", f"{noted[attributes.VERDICT]}  (validation loss − training loss: {number(gap)})"))
    confirmation = results.confirmation
    if confirmation is not None and confirmation.of(row.number) is not None:
        facts.append(("confirmed", confirmed_line(confirmation, row.number)))
    if isinstance(noted.get(attributes.EPOCHS), int):
        facts.append(("epochs", _epochs(noted)))
    if isinstance(noted.get(attributes.NETWORK_PARAMETERS), int):
        facts.append(("network", f"{noted[attributes.NETWORK_PARAMETERS]:,} weights"))
    if row.started is not None:
        when = ago(row.started, dt.datetime.now().astimezone())
        facts.append(("started", f"{row.started.isoformat(sep=' ', timespec='seconds')}  ({when})"))
        facts.append(("time", duration(row.seconds)))
    if row.params:
        width = max(map(len, row.params))
        lines = [f"{name.ljust(width)}  {number(value)}" for name, value in row.params.items()]
        facts.append(("params", "\n".join(lines)))
    return [*facts, *_rest(row)]


def _rest(row: TrialRow) -> Iterator[tuple[str, str]]:
    """The attributes that nothing else tells."""
    shown = {"confusion_matrix": row.confusion_matrix, "examples": row.examples}
    for key, value in row.attributes.items():
        if key in _SCORES and isinstance(value, Mapping):
            for name, inner in value.items():
                if not isinstance(inner, float | int | None) and not shown.get(name):
                    yield f"{key}.{name}", shortened(inner)
        elif not isinstance(value, _TOLD_ELSEWHERE.get(key, ())) and value is not attributes.failure(row.attributes):
            yield key, shortened(value)


def _epochs(noted: Mapping[str, Any]) -> str:
    trained, best = noted[attributes.EPOCHS], noted.get(attributes.BEST_EPOCH)
    stopped = "; stopped early" if noted.get(attributes.STOPPED_EARLY) else ""
    return f"{trained}, the best is {best}{stopped}" if best is not None else f"{trained}{stopped}"


def _confusion_columns(results: Results, row: TrialRow) -> list[Column]:
    matrix = row.confusion_matrix
    if not matrix:
        return []
    labels = results.class_names(len(matrix))
    return [
        Column(title="true ↓  said →", cells=labels, left=True),
        *(
            Column(title=label, cells=[str(line[index]) for line in matrix], rank=1 + index)
            for index, label in enumerate(labels)
        ),
    ]


def _print_curve(results: Results, row: TrialRow) -> None:
    epochs = results.epochs(row.number)
    if len(epochs) < 2:
        return
    click.echo()
    width = min((terminal_width() or 80) - 12, _MOST_PLOT_WIDTH)
    losses = [name for name in ("training_loss", "validation_loss") if any(name in e.scores for e in epochs)]
    if losses:
        title = "loss by epoch: training (dashed) and validation" if len(losses) == 2 else f"{losses[0]} by epoch"
        _print_plot(title, epochs, losses, width)
    metric = results.metric_names[0]
    if any(metric in epoch.scores for epoch in epochs):
        if losses:
            click.echo()
        _print_plot(f"{metric} by epoch", epochs, [metric], width)


def _print_plot(title: str, epochs: Sequence[Epoch], names: Sequence[str], width: int) -> None:
    series = [[epoch.scores.get(name, float("nan")) for epoch in epochs] for name in names]
    lines = plot(series, width=width, height=_PLOT_HEIGHT, dashed=len(names) > 1)
    if not lines:
        return
    finite = [value for values in series for value in values if value - value == 0]
    ends = {0: score(max(finite)), len(lines) - 1: score(min(finite))}
    click.echo(click.style(title, bold=True))
    for index, line in enumerate(lines):
        click.echo(f"{ends.get(index, ''):>9} ┤{line}".rstrip("⠀"))
    first, last = str(epochs[0].epoch), str(epochs[-1].epoch)
    click.echo(f"{'':>9} └{first}{last.rjust(width - len(first))}")
