"""``tuner confirm``."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import click

from tuner import attributes
from tuner.cli.options import common, quiet, study_argument, workers_option
from tuner.cli.printing import again, hint, print_data, wrapped
from tuner.cli.tables import Column, print_table, terminal_width
from tuner.confirmation import confirming_study
from tuner.output import score

if TYPE_CHECKING:
    from tuner.confirmation import Candidate, Confirmation, Estimate


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
    if load(study, storage=storage).chosen().attributes.get(attributes.NETWORK_PARAMETERS):
        hint(f"\nNext:\n  {again('keep', study, storage=storage)}  keep the network of trial {found.chosen.trial}")


def _print(found: Confirmation) -> None:
    best = f"the {len(found.candidates)} best trials" if len(found.candidates) > 1 else "the best trial"
    click.echo(f"{click.style(found.study, bold=True)}: {best}, trained again from {_seeds(found)} each\n")
    print_table(_candidates(found))
    click.echo()
    for line in wrapped(_outcome(found), terminal_width()).split("\n"):
        click.echo(line)
    if found.test:
        click.echo()
        print_table(
            [
                Column(title="on the test part", cells=list(found.test), left=True),
                Column(title="score", cells=[interval(estimate) for estimate in found.test.values()], left=True),
            ]
        )
    else:
        hint("\nNo test part judges it: the validation part chose, and so flatters.")
    if found.looks > 1:
        hint(
            f"\nThe test part has been looked at {found.looks} times for this study: to choose by what it says would "
            "spoil it."
        )


def _candidates(found: Confirmation) -> list[Column]:
    names = list(found.chosen.searched)
    columns = [Column(title="trial", cells=[str(one.trial) for one in found.candidates])]
    for name in names:
        columns += [
            Column(title=f"{name} found", cells=[score(one.searched[name]) for one in found.candidates]),
            Column(title="fresh seeds", cells=[_confirmed(one, name) for one in found.candidates], left=True),
        ]
    if any(one.ended < found.seeds for one in found.candidates):
        columns.append(Column(title="ended well", cells=[f"{one.ended} of {found.seeds}" for one in found.candidates]))
    columns.append(Column(title="", cells=[_standing(one, found) for one in found.candidates], left=True))
    return columns


def _confirmed(one: Candidate, name: str) -> str:
    return interval(one.confirmed[name]) if name in one.confirmed else "–"


def _standing(one: Candidate, found: Confirmation) -> str:
    if one is found.chosen:
        return "chosen"
    return f"as good as trial {found.chosen.trial}" if one.as_good else f"worse than trial {found.chosen.trial}"


def _outcome(found: Confirmation) -> str:
    """What the chosen trial promised, and what is left of it."""
    chosen, name = found.chosen, next(iter(found.chosen.searched))
    said = f"trial {chosen.trial}: {name} {score(chosen.searched[name])} in the search, "
    said += f"{interval(chosen.confirmed[name])} from {_seeds(found)}"
    if name in found.test:
        said += f", {interval(found.test[name])} on the {found.test_samples} samples of the test part"
    return said


def confirmed_line(found: Confirmation, trial: int) -> str:
    """Return in a line what a confirmation says of one of its candidates."""
    one = found.of(trial)
    assert one is not None
    name = next(iter(one.searched))
    said = f"{_confirmed(one, name)} from {_seeds(found)}: {_standing(one, found)}"
    if one is found.chosen and name in found.test:
        said += f"; {interval(found.test[name])} on the test part"
    return said


def _seeds(found: Confirmation) -> str:
    return f"{found.seeds} fresh seed{'s' * (found.seeds != 1)}"


def interval(estimate: Estimate) -> str:
    """Return ``0.9800 ± 0.0021``: the mean over the seeds, and half of its 95 % interval."""
    if estimate.half_width is None:
        return score(estimate.mean)
    return f"{score(estimate.mean)} ± {score(estimate.half_width)}"
