"""What the columns of Optuna's tables hold. Writes go behind, so what does not fit is refused when it is set."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from storage.errors import StorageError

NAME_LENGTH = 512
_STEPS = range(-(2**31), 2**31)
_MYSQL_TEXT = 2**16 - 1
"""Bytes of MySQL's TEXT."""


def check_name(dialect: str, what: str, name: str) -> None:
    """Refuse a name of a parameter or an attribute that the column does not take.

    Raises:
        StorageError: naming it.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise StorageError(f"the name {name!r} of {what} is no text: it holds half of a character") from None
    if dialect == "sqlite":
        return
    if len(name) > NAME_LENGTH:
        raise StorageError(
            f"the name '{name[:20]}…' of {what} is too long: {len(name)} characters, and {NAME_LENGTH} fit"
        )
    if dialect == "postgresql" and "\0" in name:
        raise StorageError(f"the name {name!r} of {what} holds a NUL, which PostgreSQL does not take")


def whole_step(dialect: str, step: Any) -> int:
    """Return the step of a report, if it is a whole number that the column takes.

    Raises:
        StorageError: naming it.
    """
    if not isinstance(step, int | Integral) or (dialect != "sqlite" and int(step) not in _STEPS):
        raise StorageError(f"step {step!r} of a report is no whole number between {_STEPS[0]} and {_STEPS[-1]}")
    return int(step)


def check_text(dialect: str, what: str, name: str, text: str) -> None:
    """Refuse an attribute or a choice whose JSON is larger than the column.

    Raises:
        StorageError: naming it.
    """
    if dialect == "mysql" and len(text) > _MYSQL_TEXT:  # JSON is ASCII
        raise StorageError(f"{what} '{name}' is too large: {len(text):,} bytes, and {_MYSQL_TEXT:,} fit in MySQL")
