"""Options that several commands share."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from tuner.output import FORMATS

F = TypeVar("F", bound=Callable[..., Any])

_META = "tuner"


def debugging(ctx: click.Context) -> bool:
    """Whether ``--debug`` was given."""
    return bool(ctx.find_root().meta.get(f"{_META}.debug"))


def quiet(ctx: click.Context) -> bool:
    """Whether ``--quiet`` was given."""
    return bool(ctx.find_root().meta.get(f"{_META}.quiet"))


def common(*, output: bool = True, storage: bool = True) -> Callable[[F], F]:
    """Add the options that all commands have: ``--storage``, ``--output``, ``--quiet``, ``--verbose``, ``--debug``."""

    def add(command: F) -> F:
        command = _debug(_verbose(_quiet(command)))
        if output:
            command = _output(command)
        return _storage(command) if storage else command

    return add


def version_option(command: F) -> F:
    """Add ``--version``; the version is looked up when it is asked for."""

    def show(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
        if asked:
            import tuner

            click.echo(f"tuner {tuner.__version__}")
            ctx.exit()

    option = click.option(
        "--version", is_flag=True, expose_value=False, is_eager=True, callback=show, help="Show the version and exit."
    )
    return option(command)


def _complete_study(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from storage import StorageError
    from tuner import study
    from tuner.errors import TunerError

    try:
        known = study.names(storage=ctx.params.get("storage"))
    except (StorageError, TunerError):  # there is none yet, say
        return []
    return [CompletionItem(name) for name in known if name.startswith(incomplete)]


study_argument = click.argument("study", metavar="STUDY", shell_complete=_complete_study)

data_option = click.option(
    "--data",
    metavar="PATH",
    help="Your data: a table (CSV, TSV, Parquet, JSON lines, NPZ), arrays of images (NPZ, NPY), "
    "or a folder of class folders. Needs no study file.",
)
target_option = click.option(
    "--target",
    multiple=True,
    metavar="COLUMN",
    help="The column to predict; repeatable for regression. Class folders need none.",
)
settings_option = click.option(
    "-S",
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any key of the study file, e.g. -S space.learning_rate=1e-4..1e-1:log; repeatable.",
)


def _seconds(_: click.Context, __: click.Parameter, timeout: str | None) -> float | None:
    from tuner.study import seconds_of_run

    return seconds_of_run(timeout)


timeout_option = click.option(
    "--timeout",
    metavar="TIME",
    callback=_seconds,
    help="Time of this run alone, e.g. 90s, 15m or 1h30m; `resume` continues what is left. "
    "Default: [budget] timeout, which holds for each run.",
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes that train. Default: one a core, or one a GPU.",
)
ray_option = click.option(
    "--ray",
    metavar="ADDRESS",
    help="Run the workers on the nodes of a Ray cluster: auto, HOST:PORT or ray://HOST:PORT. --storage must be a "
    "database that all nodes reach.",
)


def _set_debug(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        ctx.find_root().meta[f"{_META}.debug"] = True


def _set_quiet(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        ctx.find_root().meta[f"{_META}.quiet"] = True
        for name in (*_LOGGERS, NOTES):
            logging.getLogger(name).setLevel(logging.ERROR)


def _set_verbosity(_: click.Context, __: click.Parameter, count: int) -> None:
    _write_logs_to_stderr()
    if count:
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.INFO if count == 1 else logging.DEBUG)


_LOGGERS = ("tuner", "storage", "objectives")
NOTES = "tuner.notes"
"""The logger of what was inferred from the data: a person should see it unless they ask for quiet."""


class _Stderr(logging.Handler):
    """Writes to whatever ``sys.stderr`` is now: a live view takes its place for a while, which click looks behind."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = "note" if record.levelno == logging.INFO else record.levelname.lower()
        sys.stderr.write(f"{kind}: {record.getMessage()}\n")


def _write_logs_to_stderr() -> None:
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(handler, _Stderr) for handler in logger.handlers):
            logger.addHandler(_Stderr())
            logger.propagate = False
    if logging.getLogger(NOTES).level == logging.NOTSET:
        logging.getLogger(NOTES).setLevel(logging.INFO)


_storage = click.option(
    "--storage",
    metavar="URL",
    help="Where studies live: sqlite:///file.db, postgresql://…, mysql://…. "
    "Default: TUNER_STORAGE, then OPTUNA_STORAGE, then sqlite:///tuner.db.",
)
_output = click.option(
    "-o",
    "--output",
    type=click.Choice(FORMATS),
    default="table",
    help="How the result is printed; all but table are for programs, with stable keys and full precision.",
)
_quiet = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=_set_quiet,
    help="No progress, hints or warnings: the result and errors only.",
)
_verbose = click.option(
    "-v",
    "--verbose",
    count=True,
    expose_value=False,
    callback=_set_verbosity,
    help="Say more on stderr; twice: everything.",
)
_debug = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_set_debug,
    help="Show the traceback of an error.",
)
