"""The command line: a command parses, calls the API, and prints."""

from __future__ import annotations


def main() -> None:
    """Run the command line on this process's arguments and exit."""
    from tuner.cli.group import cli

    cli.main(prog_name="tuner")
