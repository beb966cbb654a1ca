"""What commands share in printing: data to stdout, words to stderr."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import click

from tuner.cli.options import quiet
from tuner.output import dump, printable


def print_data(value: Mapping[str, Any] | Sequence[Mapping[str, Any]], form: str, *, keys: Sequence[str] = ()) -> None:
    """Print records on stdout in a form for programs; no record prints nothing but a CSV's head or an empty list."""
    text = dump(value, form, keys=keys)
    if text:
        click.echo(text)


def hint(text: str) -> None:
    """Say something helpful on stderr, unless ``--quiet``."""
    if not quiet(click.get_current_context()):
        click.echo(text, err=True)


def say_hidden(count: int, *, form: str = "csv") -> None:
    """Say that a table had no room for so many columns, which ``form`` has."""
    if count:
        hint(f"({count} more column{'s' if count > 1 else ''}: a wider terminal, or -o {form})")


def pairs(values: Sequence[tuple[str, str]]) -> None:
    """Print ``name  value`` lines, the values below each other; a value may have several lines."""
    width = max(len(name) for name, _ in values)
    for name, value in values:
        lines = [printable(line) for line in value.split("\n")]
        for head, line in zip([name, *[""] * len(lines)], lines, strict=False):
            click.echo(f"{click.style(head.ljust(width), bold=True)}  {line}".rstrip())


def again(command: str, *arguments: str, storage: str | None) -> str:
    """Return a command line to type next; ``storage`` is what ``--storage`` was given, its password masked."""
    parts = ["tuner", command, *(shlex.quote(argument) for argument in arguments)]
    if storage is not None:
        from storage.urls import mask

        masked = mask(storage)
        parts += ["--storage", shlex.quote(masked) if masked == storage else f"'{masked}'"]
    return " ".join(parts)


def wrapped(text: str, width: int | None) -> str:
    """Return ``a, b, c`` broken between its parts into lines of at most ``width``."""
    if width is None:
        return text
    lines = [""]
    for part in text.split(", "):
        joined = f"{lines[-1]}, {part}" if lines[-1] else part
        if len(joined) < width or not lines[-1]:
            lines[-1] = joined
        else:
            lines[-1] += ","
            lines.append(part)
    return "\n".join(lines)
