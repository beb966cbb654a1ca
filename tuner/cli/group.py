"""The group of all commands: finds a command when it is asked for, and turns every error into one line and a code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from tuner.cli.failures import GONE_READER, exit_code_of, say
from tuner.cli.options import debugging, version_option
from tuner.spelling import nearest

COMMANDS: dict[str, dict[str, tuple[str, str]]] = {
    "Run": {
        "start": ("running", "Create a study and run it here."),
        "resume": ("running", "Continue a study, or give it more trials."),
        "worker": ("running", "Join a study that runs here or elsewhere."),
        "stop": ("running", "Ask all workers of a study to leave."),
        "confirm": ("confirm", "Train the best trials again, score the winner on the test part."),
    },
    "Look": {
        "studies": ("studies", "List the studies."),
        "status": ("studies", "Tell how a study stands."),
        "trials": ("trials", "List the trials of a study."),
        "show": ("show", "Show one trial: its curve, scores and parameters."),
        "best": ("trials", "Show the best trials."),
        "report": ("report", "Write what was found as one HTML file."),
        "dashboard": ("dashboard", "Serve optuna-dashboard on the studies."),
    },
    "Models": {
        "keep": ("models", "Keep the network of a trial under a name."),
        "predict": ("predict", "Let a kept network answer new data."),
        "models": ("models", "List the models that were kept."),
    },
    "Prepare and tidy": {
        "init": ("files", "Write a study file to start from."),
        "check": ("files", "Try a study file on one epoch."),
        "delete": ("studies", "Remove a study and its trials."),
    },
}
"""Section of the help → command → its module under ``tuner.cli`` and its short help."""


class Commands(click.Group):
    """Imports a command's module when the command is asked for, so that ``--help`` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for section in COMMANDS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for section in COMMANDS.values():
            if cmd_name in section:
                module = import_module(f"tuner.cli.{section[cmd_name][0]}")
                found: click.Command = getattr(module, cmd_name)
                return found
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and name not in self.list_commands(ctx):
            hint = nearest(name, self.list_commands(ctx)) or f"; there are: {', '.join(self.list_commands(ctx))}"
            raise click.UsageError(f"no such command '{name}'{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, short) for name, (_, short) in section.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and exit; without ``standalone_mode`` errors are the caller's."""

        def run() -> Any:
            return click.Group.main(
                self, args, prog_name, complete_var, False, windows_expand_args=windows_expand_args, **extra
            )

        if not standalone_mode:
            return run()
        _open_streams()
        try:
            result = run()
            sys.stdout.flush()
        except click.ClickException as error:
            sys.exit(say(error, debug=False))
        except click.Abort:
            sys.exit(exit_code_of(KeyboardInterrupt()))
        except BrokenPipeError:
            _forget_reader()
            sys.exit(GONE_READER)
        except OSError as error:
            _forget_reader()
            sys.exit(say(error, debug=False))
        sys.exit(result if isinstance(result, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:
            _forget_reader()
            ctx.exit(GONE_READER)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place where errors become words
            try:
                sys.stdout.flush()
            except OSError:
                _forget_reader()
            ctx.exit(say(error, debug=debugging(ctx)))


def _forget_reader() -> None:
    """Nobody can read our output any more (``| head``, a full disk): let the interpreter's last flush go nowhere."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_streams() -> None:
    """Where a stream is closed (``>&-``) what is written goes nowhere, and no file of ours takes its number."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - open to the end


_EXIT_CODES = (
    "Exit codes: 0 done, 1 failure, 2 usage, 3 study not found, 4 no finished trial, 5 study file conflicts with the "
    "stored study, 6 storage unreachable, 130 Ctrl-C, 143 SIGTERM."
)


@click.group(
    cls=Commands, epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@version_option
def cli() -> None:
    """Tune the hyperparameters of PyTorch networks.

    \b
    tuner start breast_cancer
    tuner start --data churn.csv --target churned --trials 200
    tuner best churn

    Studies live in sqlite:///tuner.db unless --storage, TUNER_STORAGE or OPTUNA_STORAGE says otherwise.
    """
