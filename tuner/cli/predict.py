"""``tuner predict``."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from tuner.cli.options import common
from tuner.cli.printing import hint
from tuner.output import FORMATS, dump, number, score

if TYPE_CHECKING:
    import polars as pl

    from tuner.models.inference import Predictions

ROWS_AT_ONCE = 10_000
"""So many rows are made into text at a time."""
MOST_NAMED = 5
"""So many of the rows without an answer are named."""


@click.command(short_help="Let a kept network answer new data.")
@click.argument("model", metavar="MODEL")
@click.argument("data", metavar="DATA")
@click.option("--probabilities", is_flag=True, help="Of classes: a column with the probability of each, too.")
@click.option("--with-data", is_flag=True, help="Print the data's columns before the answers.")
@click.option("--device", default="auto", metavar="NAME", help="auto (a GPU where there is one), cpu, cuda, cuda:1, …")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    metavar="N",
    help="Most samples that the network sees at once. Default: by their kind.",
)
@click.option(
    "-S",
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="How DATA is read where that differs from the data of training, e.g. -S data.encoding=cp437; repeatable.",
)
@click.option("--where", metavar="URL", default="", help="The folder or fsspec URL of the models.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(FORMATS),
    help="How the answers are printed. Default: a table on a terminal, else csv.",
)
@common(output=False)
def predict(
    *,
    model: str,
    data: str,
    probabilities: bool,
    with_data: bool,
    device: str,
    batch_size: int | None,
    settings: tuple[str, ...],
    where: str,
    output: str | None,
    storage: str | None,
) -> None:
    """Print what the kept network MODEL (a name, a folder or a URL) answers to DATA, a row for each of its rows.

    DATA is of the kind it learned from: a table of rows or texts, a folder of images or texts, a table of their paths,
    or arrays; - reads a table from standard input, as CSV unless it is Parquet or JSON lines. Where DATA also holds
    what is right, the scores are told on stderr. Nothing is written.

    \b
    tuner predict churn new_customers.csv
    tuner predict churn new_customers.csv --probabilities > answers.csv
    tuner predict tuner-models/photos more_photos/ -o jsonl
    zcat new_customers.csv.gz | tuner predict churn -
    """
    from tuner.models.inference import load_model

    with redirect_stdout(sys.stderr):  # what an objective prints is no answer
        predictor = load_model(model, storage=storage, where=where, device=device, settings=settings)
        found = predictor.predictions(data, probabilities=probabilities, batch_size=batch_size)
    form = output or ("table" if sys.stdout.isatty() else "csv")
    if with_data and found.columns is not None and form not in ("table", "csv"):
        found = replace(found, columns=_typed(found.columns, found.frame))
    _print(found.with_data() if with_data else found.frame, form)
    _tell(found)


def _print(frame: pl.DataFrame, form: str) -> None:
    if form == "table":
        _print_table(frame)
    elif form in ("csv", "jsonl"):
        for start in range(0, len(frame) or 1, ROWS_AT_ONCE):
            text = dump(frame[start : start + ROWS_AT_ONCE].to_dicts(), form, keys=frame.columns)
            if text:
                click.echo(text.partition("\n")[2] if form == "csv" and start else text)
    else:
        click.echo(dump(frame.to_dicts(), form))


def _typed(columns: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """Return the texts of a CSV file as what JSON has for them: numbers and truth values, where a whole column is such.

    A target that is answered in texts stays text: the two are there to be compared.
    """
    import polars as pl

    compared = {series.name for series in answers if series.dtype == pl.String}
    return pl.DataFrame([_read(s) if s.dtype == pl.String and s.name not in compared else s for s in columns])


def _read(texts: pl.Series) -> pl.Series:
    """Digits after a leading zero, or more of them than a number can hold, are part of a name, and stay text."""
    import polars as pl

    if texts.str.contains(r"^-?(0|[1-9]\d{0,17})$").all():
        return texts.cast(pl.Int64)
    if texts.str.contains(r"^-?(0|[1-9]\d{0,14})(\.\d+)?([eE][+-]?\d{1,2})?$").all():
        return texts.cast(pl.Float64)
    return texts.str.to_lowercase() == "true" if texts.str.contains("^(?i:true|false)$").all() else texts


def _print_table(frame: pl.DataFrame) -> None:
    from tuner.cli.printing import say_hidden
    from tuner.cli.tables import print_table
    from tuner.columns import Column

    columns = [
        Column(
            title=series.name,
            cells=["" if value is None else _shown(series.name, value) for value in series.to_list()],
            left=not series.dtype.is_numeric(),
            rank=place if place else 0,
        )
        for place, series in enumerate(reversed(frame.get_columns()))
    ]
    say_hidden(print_table(columns[::-1]))


def _shown(column: str, value: Any) -> str:
    """Return a value as a person reads it; probabilities stand with their points below each other."""
    return f"{value:.6f}" if column.startswith("p(") and isinstance(value, float) else number(value, digits=6)


def _name(frame: pl.DataFrame, row: int) -> str:
    """Return what a person calls a row without an answer: its file, which alone stands there, else its number."""
    return next((str(value) for value in frame.row(row) if value is not None), f"row {row + 1}")


def _tell(found: Predictions) -> None:
    """Say on stderr what is no answer."""
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    for note in found.notes:
        hint(f"note: {note}")
    if found.faults:
        shown = list(found.faults.items())[:MOST_NAMED]
        named = ", ".join(f"{_name(found.frame, row)} ({why})" for row, why in shown)
        more = ", …" if len(found.faults) > MOST_NAMED else ""
        click.echo(f"{len(found.faults)} of {len(found.frame)} rows have no answer: {named}{more}", err=True)
    if found.scores:
        told = ", ".join(f"{name} {score(value)}" for name, value in found.scores.items())
        hint(f"scores on {found.scored} row{'s' * (found.scored > 1)}: {told}")
