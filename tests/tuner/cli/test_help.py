from __future__ import annotations

import click
import pytest

from tests.tuner.cli.conftest import Run
from tuner.cli.group import COMMANDS, cli
from tuner.study_file import built_in_names

NAMES = [name for section in COMMANDS.values() for name in section]


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_every_option_has_help(name: str) -> None:
    assert command(name).help
    for parameter in command(name).params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"tuner {name} {parameter.opts[0]}"


@pytest.mark.parametrize("name", NAMES)
def test_every_command_shows_an_example_of_itself(run: Run, name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"\n  tuner {name}" in result.stdout


@pytest.mark.parametrize("name", NAMES)
def test_the_list_of_commands_tells_what_a_command_tells_of_itself(name: str) -> None:
    listed = {name: short for section in COMMANDS.values() for name, (_, short) in section.items()}
    assert command(name).get_short_help_str(100) == listed[name].removesuffix(".") or (
        command(name).short_help == listed[name]
    )


@pytest.mark.parametrize("name", NAMES)
def test_flags_are_the_same_everywhere(name: str) -> None:
    options = {option for parameter in command(name).params for option in parameter.opts}
    assert {"--quiet", "-q", "--verbose", "-v", "--debug"} <= options
    assert "--storage" in options or name in {"init", "check"}
    assert "--output" in options or name in {"init", "delete", "stop", "report", "dashboard"}


@pytest.mark.parametrize("name", ["init", "keep", "report"])
def test_what_is_there_is_overwritten_by_one_word_everywhere(name: str) -> None:
    assert "--force" in {option for parameter in command(name).params for option in parameter.opts}


def test_the_help_lists_every_command(run: Run) -> None:
    text = run("--help").stdout
    for name in NAMES:
        assert f"\n  {name} " in text


def test_the_version_is_shown(run: Run) -> None:
    assert run("--version").stdout.startswith("tuner ")


def test_the_help_of_start_lists_every_built_in_study(run: Run) -> None:
    text = " ".join(run("start", "--help").stdout.split())
    assert f"a built-in study ({', '.join(built_in_names())})" in text
