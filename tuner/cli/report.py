"""``tuner report``."""

from __future__ import annotations

import click

from tuner.cli.options import common, study_argument
from tuner.cli.printing import hint
from tuner.study import load


@click.command(short_help="Write what was found as one HTML file.")
@study_argument
@click.option("--to", metavar="FILE", help="The file to write, or - for stdout. Default: STUDY.html in this folder.")
@click.option("--force", is_flag=True, help="Overwrite the file if it is there.")
@common(output=False)
def report(study: str, to: str | None, force: bool, storage: str | None) -> None:
    """Write STUDY as one HTML file: what came out, how the search went, the best trial, its confirmation.

    The file needs nothing else and asks no network; open it in a browser, send it, print it.

    \b
    tuner report churn
    tuner report churn --to first_search.html
    """
    from tuner.reporting.report import render
    from tuner.reporting.report import report as write

    if to == "-":
        click.echo(render(load(study, storage=storage)))
        return
    path = write(study, to=to, replace=force, storage=storage)
    hint(f"{path} is written; open it in a browser")
