"""From an error to one line on stderr and the exit code it has."""

from __future__ import annotations

import errno
import signal
import sys
import traceback

import click

from tuner.errors import ObjectiveError, StorageUnreachableError, TunerError, UsageError

GONE_READER = 128 + 13
"""Exit code when the reader of our output left first, as if SIGPIPE had ended us."""
_UNWRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF)
"""What is the matter with stdout, which has no name, when it takes nothing more."""


class Terminated(KeyboardInterrupt):
    """The process was told to end by a signal; what cleans up after Ctrl-C cleans up after it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


def exit_code_of(error: BaseException) -> int:
    """Return the exit code of the command line for ``error``."""
    if isinstance(error, Terminated):
        return 128 + error.signal_number
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    if isinstance(error, TunerError | click.ClickException):
        return error.exit_code
    if _is_storage_error(error, "StorageUrlError"):
        return UsageError.exit_code
    if _is_storage_error(error, "StorageUnreachableError", "StorageNotFoundError"):
        return StorageUnreachableError.exit_code
    return 1


def say(error: BaseException, *, debug: bool) -> int:
    """Write what went wrong to stderr, with the traceback when ``debug``; return the exit code."""
    if debug and not isinstance(error, click.ClickException):
        traceback.print_exception(error)
    line = message_of(error)
    if line:
        click.echo(line, err=True)
    return exit_code_of(error)


def message_of(error: BaseException) -> str:
    """Return what a person reads about ``error``; nothing about an interruption."""
    if isinstance(error, KeyboardInterrupt):
        return ""
    if isinstance(error, click.ClickException):
        return f"Error: {_of_click(error)}"
    if isinstance(error, ObjectiveError) and error.traceback:
        return f"Error: {error}\n\n{error.traceback.rstrip()}"
    if isinstance(error, TunerError) or _is_storage_error(error, "StorageError"):
        return f"Error: {error}"
    if isinstance(error, OSError) and error.strerror and (error.filename or error.errno in _UNWRITTEN):
        return f"Error: {error.filename or 'what is printed cannot be written'}: {error.strerror}"
    first = (str(error).splitlines() or [""])[0]
    what = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return f"Error: internal error: {what} (--debug shows the traceback)"


def _of_click(error: click.ClickException) -> str:
    message = " ".join(error.format_message().split()).removesuffix(".")
    message = (message[:1].lower() + message[1:]).replace(". (", " (")
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{message}; see `{context.command_path} --help`" if context is not None else message


def _is_storage_error(error: BaseException, *names: str) -> bool:
    """Whether it is one of the classes of ``storage.errors``, which is not imported for the question."""
    module = sys.modules.get("storage.errors")
    return module is not None and isinstance(error, tuple(getattr(module, name) for name in names))
