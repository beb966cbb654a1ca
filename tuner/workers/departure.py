"""How a process of ours left: its last line says so, and whoever started it reads there what to raise."""

from __future__ import annotations

import contextlib
import json
import signal
import traceback
from dataclasses import asdict, dataclass, fields
from typing import Any

import tuner.errors
from tuner.errors import ObjectiveError, StorageUnreachableError, TunerError

BUDGET_SPENT = "budget spent"
DONE = "done"
INTERRUPTED = "interrupted"
STOPPED = "stopped"
TIME_IS_UP = "time is up"

DEPARTURE_MARK = "\x1etuner-departure "
"""Starts the line on which a process says how it left."""
NOTE_MARK = "\x1etuner-note "
"""Starts the line of a note for the person."""


@dataclass(frozen=True, kw_only=True)
class Departure:
    """How a process left."""

    reason: str
    """Why, in a few words: ``budget spent``, ``stopped``, ``time is up``, ``interrupted``, …"""
    exit_code: int = 0
    message: str = ""
    """One line for the person, when something went wrong."""
    traceback: str = ""
    """The objective's own traceback, when it was at fault."""
    error: str = ""
    """What went wrong: its class, or the nearest above it, in ``tuner.errors``."""
    origin: str = ""
    """The traceback of what went wrong, all of it."""
    answer: Any = None
    """What it was sent for, when it went on an errand (JSON)."""

    @staticmethod
    def by(error: Exception, who: str) -> Departure:
        """Return how a process leaves by an error; what nobody expected tells ``who`` met it, and where."""
        import storage

        whole = "".join(traceback.format_exception(error))
        unreachable = isinstance(error, storage.StorageUnreachableError)
        kind: type[TunerError] = StorageUnreachableError if unreachable else TunerError
        if isinstance(error, TunerError):
            kind = type(error)
        ours = isinstance(error, TunerError | storage.StorageError)
        return Departure(
            reason="storage unreachable" if unreachable else "failed",
            exit_code=kind.exit_code,
            message=str(error) if ours else f"{who} failed: {type(error).__name__}: {error}",
            traceback=error.traceback if isinstance(error, ObjectiveError) else "" if ours else whole,
            error=next(one.__name__ for one in kind.__mro__ if one.__module__ == tuner.errors.__name__),
            origin=whole,
        )

    def to_error(self) -> TunerError:
        """Return the error by which it left."""
        kind = getattr(tuner.errors, self.error, TunerError)
        error: TunerError
        if self.traceback or kind is ObjectiveError:
            error = ObjectiveError(self.message, traceback=self.traceback)
        else:
            error = kind(self.message)
        error.exit_code = self.exit_code  # type: ignore[misc]
        if self.origin:
            error.__cause__ = _ElsewhereError(self.origin)
        return error

    def to_json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Departure:
        """Return what :meth:`to_json` wrote, perhaps that of a newer version: what it adds is left out."""
        known = {field.name for field in fields(Departure)}
        return Departure(**{name: value for name, value in json.loads(text).items() if name in known})


class _ElsewhereError(Exception):
    """The traceback of an error in another process, as a text: what ``--debug`` shows of it."""

    def __str__(self) -> str:
        return f"\n\n{self.args[0]}"


def how_it_ended(code: int) -> str:
    """Return in words what the exit code of a process that said nothing means."""
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    return f"was killed by signal {-code}"
