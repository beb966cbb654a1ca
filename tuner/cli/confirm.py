"""``tuner confirm``."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import click

from tuner import attributes
from tuner.cli.options import common, quiet, study_argument, workers_option
from tuner.cli.printing import again, hint, print_data, wrapped
from tuner.cli.tables import print_table, terminal_width
from tuner.columns import candidate_columns, caveats, confirmed_told, interval, seeds_told, standing, tested_columns
from tuner.confirmation import confirming_study
from tuner.output import score

if TYPE_CHECKING:
    from tuner.confirmation import Confirmation


@click.command(short_help="Train the best trials again, score the winner on the test part.")
@study_argument
@click.option("--top", type=int, default=5, metavar="N", help="The N best trials. Default: 5.")
@click.option("--seeds", type=int, default=5, metavar="N", help="Fresh seeds for each of them. Default: 5.")
@workers_option
@common()
def confirm(*, study: str, top: int, seeds: int, workers: int | None, storage: str | None, output: str) -> None:
    """Train the best trials of STUDY again from fresh seeds, choose the best by their mean on the validation part, and
    score that one on the test part, which nothing has looked at.

    The best of many scores is in part luck; this tells how much. Ctrl-C leaves what the same command continues.

    \b
    tuner confirm churn
    tuner confirm churn --top 3 --seeds 10
    """
    from tuner import confirming
    from tuner.cli.live import make_view
    from tuner.cli.signals import interruptible
    from tuner.study import load

    confirming.candidates(study, top=top, seeds=seeds, workers=workers, storage=storage)  # refused before it is begun
    view = make_view(confirming_study(study), quiet=quiet(click.get_current_context()))
    try:
        with interruptible(view.leave), view, redirect_stdout(sys.stderr):  # what an objective prints is no result
            found = confirming.confirm(study, top=top, seeds=seeds, workers=workers, storage=storage, observer=view)
    except KeyboardInterrupt:
        command = again("confirm", study, "--top", str(top), "--seeds", str(seeds), storage=storage)
        hint(f"interrupted; `{command}` continues")
        raise
    if output != "table":
        print_data(found.to_json(), output)
        return
    _print(found)
    hint("\nNext:")
    if load(study, storage=storage).chosen().attributes.get(attributes.NETWORK_PARAMETERS):
        hint(f"  {again('keep', study, storage=storage)}    keep the network of trial {found.chosen.trial}")
        if found.together:
            hint(f"  {again(*found.keeping_together(), storage=storage)}")
            hint(f"      keep its {len(found.trainings)} networks as one model, an ensemble")
    hint(f"  {again('report', study, storage=storage)}  all of it, as a page")


def _print(found: Confirmation) -> None:
    several = len(found.candidates) > 1
    best = f"the {len(found.candidates)} best trials" if several else "the best trial"
    again_from = f"trained again from {seeds_told(found)}" + " each" * several
    click.echo(f"{click.style(found.study, bold=True)}: {best}, {again_from}\n")
    print_table(candidate_columns(found))
    click.echo()
    for line in wrapped(_outcome(found), terminal_width()).split("\n"):
        click.echo(line)
    if found.test:
        click.echo()
        print_table(tested_columns(found))
    for caveat in caveats(found):
        hint(f"\n{caveat}")


def _outcome(found: Confirmation) -> str:
    """What the chosen trial promised, and what is left of it."""
    chosen, name = found.chosen, next(iter(found.chosen.searched))
    said = f"trial {chosen.trial}: {name} {score(chosen.searched[name])} in the search, "
    said += f"{interval(chosen.confirmed[name])} from {seeds_told(found)}"
    if name in found.test:
        said += f", {interval(found.test[name])} on the {found.test_samples} samples of the test part"
    return said


def confirmed_line(found: Confirmation, trial: int) -> str:
    """Return in a line what a confirmation says of one of its candidates."""
    one = found.of(trial)
    assert one is not None
    name = next(iter(one.searched))
    said = f"{confirmed_told(one, name)} from {seeds_told(found)}: {standing(one, found)}"
    if one is found.chosen and name in found.test:
        said += f"; {interval(found.test[name])} on the test part"
        if name in found.together:
            said += f", its {len(found.trainings)} together {interval(found.together[name])}"
    return said
