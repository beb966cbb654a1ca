"""The command line: a command parses, calls the API, and prints."""

from __future__ import annotations


def main() -> None:
    """Run the command line on this process's arguments and exit."""
    import io
    import sys

    from tuner.cli.group import cli

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # an arrow that a terminal cannot show ends no command
            stream.reconfigure(errors="replace")
    cli.main(prog_name="tuner")
