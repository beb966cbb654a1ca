"""``tuner start``, ``resume``, ``worker`` and ``stop``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from tuner import sources
from tuner import study as api
from tuner.amending import amend
from tuner.cli.live import View, make_view
from tuner.cli.options import (
    common,
    data_option,
    quiet,
    ray_option,
    settings_option,
    study_argument,
    target_option,
    timeout_option,
    workers_option,
)
from tuner.cli.printing import again, hint, print_data
from tuner.cli.signals import interruptible
from tuner.cli.studies import study_record
from tuner.cli.summary import print_summary

if TYPE_CHECKING:
    from tuner.results import Results
    from tuner.workers.running import Observer

_STUDY_FILES = {".toml", ".yaml", ".yml"}


def _complete_source(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from tuner.study_file import built_in_names

    names = [name for name in built_in_names() if name.startswith(incomplete)]
    return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


@click.command(short_help="Create a study and run it here.")
@click.argument("source", required=False, metavar="[NAME|FILE|MODULE:ATTR]", shell_complete=_complete_source)
@data_option
@target_option
@click.option("--name", help="The study's name. Default: that of the study file or of the data.")
@click.option("--trials", type=click.IntRange(min=1), metavar="N", help="The study's total of trials. Default: 100.")
@timeout_option
@click.option("--seed", type=int, metavar="N", help="What all of the study's randomness comes from. Default: 0.")
@workers_option
@ray_option
@settings_option
@common()
def start(
    *,
    source: str | None,
    data: str | None,
    target: tuple[str, ...],
    name: str | None,
    trials: int | None,
    timeout: float | None,
    seed: int | None,
    workers: int | None,
    ray: str | None,
    settings: tuple[str, ...],
    storage: str | None,
    output: str,
) -> None:
    """Create a study and run it on this machine, or on a Ray cluster, until its budget is spent.

    What is tuned: a built-in study (breast_cancer, diabetes, digits, digits_images, few_labels, iris, languages,
    linnerud, locale_names, photo_patches, pronunciation, wine), a study file (`tuner init` writes one), your own
    objective as module:attribute or file.py:attribute, or data of your own with --data and --target.

    Ctrl-C leaves a study that `tuner resume` continues.

    \b
    tuner start breast_cancer
    tuner start --data churn.csv --target churned --trials 200 --workers 4
    tuner start churn.toml -S space.optimizer=adam,adamw -S training.epochs=100
    tuner start my_script.py:objective
    """
    changes = {"name": name, "budget.trials": trials, "seed": seed}
    spec, where = sources.read_spec(source, data=data, target=_one_or_many(target), settings=settings, changes=changes)
    api.check_start(spec, where=where, storage=storage)

    def run(observer: Observer) -> Results:
        return api.start_spec(
            spec, where=where, workers=workers, timeout=timeout, ray=ray, storage=storage, observer=observer
        )

    _run_and_tell(spec.name, run, storage=storage, output=output)


@click.command(short_help="Continue a study, or give it more trials.")
@study_argument
@click.option("--add", type=click.IntRange(min=1), metavar="N", help="Give the study N trials more.")
@click.option("--trials", type=click.IntRange(min=1), metavar="N", help="The study's new total of trials.")
@click.option("--file", "source", metavar="FILE", help="The study file, changed in what may change.")
@timeout_option
@workers_option
@ray_option
@settings_option
@common()
def resume(
    *,
    study: str,
    add: int | None,
    trials: int | None,
    source: str | None,
    timeout: float | None,
    workers: int | None,
    ray: str | None,
    settings: tuple[str, ...],
    storage: str | None,
    output: str,
) -> None:
    """Continue STUDY (its name, or its study file): interrupted trials first, then what is left of its budget.

    What may change: [budget], a space that becomes wider, where and how long trials run ([training] device, cohort,
    trial_timeout, checkpoints), which model is kept ([model] keep_as, where), and where the data lies, as long as it is
    the same. Anything else is refused with exit code 5.

    \b
    tuner resume churn --add 50
    tuner resume churn -S space.width=16..512
    tuner resume churn -S data.source=moved/churn.csv
    """
    if Path(study).suffix in _STUDY_FILES and Path(study).exists():
        source = source or study
        study = sources.read_spec(study, settings=settings)[0].name
    results = api.load(study, storage=storage)
    unchanged = add is None and trials is None and source is None and not settings
    if unchanged and results.spec is not None and _is_spent(results):
        hint(f"study '{study}' has spent its budget; --add N gives it N trials more")
        _tell(results, elapsed=0.0, storage=storage, output=output)
        return
    with api.ready(results, workers=workers, ray=ray) as processes:
        with redirect_stdout(sys.stderr):  # what an objective prints when it is imported is no result
            amended = amend(
                study,
                add=add,
                source=source,
                settings=settings,
                trials=trials,
                storage=storage,
                approve=lambda spec, changes: api.approve(results, spec, processes, workers=workers, changes=changes),
            )

        def run(observer: Observer) -> Results:
            return api.go_on(amended, workers=workers, timeout=timeout, processes=processes, observer=observer)

        _run_and_tell(study, run, storage=storage, output=output)


@click.command(short_help="Join a study that runs here or elsewhere.")
@study_argument
@workers_option
@ray_option
@common()
def worker(*, study: str, workers: int | None, ray: str | None, storage: str | None, output: str) -> None:
    """Add workers to STUDY, which may be running elsewhere on the same storage: this machine's, or a Ray cluster's.

    \b
    tuner worker churn --storage postgresql://tuner@db/tuner --workers 8
    """

    def run(observer: Observer) -> Results:
        return api.join(study, workers=workers, ray=ray, storage=storage, observer=observer)

    _run_and_tell(study, run, storage=storage, output=output)


@click.command(short_help="Ask all workers of a study to leave.")
@study_argument
@common(output=False)
def stop(study: str, storage: str | None) -> None:
    """Ask every worker of STUDY, wherever it runs, to put its trials down and leave; `tuner resume` goes on.

    \b
    tuner stop churn
    """
    asked = api.stop(study, storage=storage)
    if asked:
        click.echo(f"study '{study}': {asked} worker{'s' if asked > 1 else ''} asked to leave")
    else:
        click.echo(f"study '{study}': no worker is at work")


def _run_and_tell(name: str, run: Callable[[Observer], Results], *, storage: str | None, output: str) -> None:
    """Run a study under a view of it, and print how it ended.

    Raises:
        NoFinishedTrialError: when no trial has finished.
        KeyboardInterrupt: after telling how to go on.
    """
    view = make_view(name, quiet=quiet(click.get_current_context()))
    try:
        with interruptible(view.leave), view, redirect_stdout(sys.stderr):  # what an objective prints is no result
            results = run(view)
    except KeyboardInterrupt:
        _tell_interrupted(view, storage)
        raise
    _tell(results, elapsed=view.tracker.elapsed, storage=storage, output=output)


def _tell(results: Results, *, elapsed: float, storage: str | None, output: str) -> None:
    if output == "table":
        print_summary(results, elapsed=elapsed, storage=storage)
    else:
        print_data(study_record(results), output)
    results.best()  # says what there is none of, if so


def _tell_interrupted(view: View, storage: str | None) -> None:
    results = view.tracker.results
    if results is None:
        hint("interrupted before the first trial")
        return
    status = results.status()
    of = f" of {status.budget}" if status.budget is not None else ""
    hint(
        f"interrupted: study '{results.name}' has {status.done}{of} trials done; "
        f"`{again('resume', results.name, storage=storage)}` continues it"
    )


def _is_spent(results: Results) -> bool:
    status = results.status()
    return status.budget is not None and status.done >= status.budget


def _one_or_many(target: tuple[str, ...]) -> str | list[str] | None:
    return list(target) if len(target) > 1 else target[0] if target else None
