from __future__ import annotations

import logging

import click
import pytest

from tests.tuner.cli import samples
from tests.tuner.cli.conftest import Run
from tuner.cli.studies import status


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "warning: slow\n"),
        (["-v"], "note: fine\nwarning: slow\n"),
        (["-vv"], "debug: detail\nnote: fine\nwarning: slow\n"),
        (["-q"], ""),
    ],
)
def test_how_much_is_said_is_up_to_the_person(
    run: Run, monkeypatch: pytest.MonkeyPatch, flags: list[str], said: str
) -> None:
    def asked(*_: object, **__: object) -> int:
        log = logging.getLogger("tuner")
        log.debug("detail")
        log.info("fine")
        log.warning("slow")
        return 0

    samples.write()
    monkeypatch.setattr("tuner.study.stop", asked)
    for name in ("tuner", "storage", "objectives"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.WARNING)
    assert run("stop", "churn", *flags).stderr == said


def test_the_name_of_a_study_is_completed_and_no_storage_is_no_error() -> None:
    (study,) = (parameter for parameter in status.params if parameter.name == "study")
    context = click.Context(status)
    assert study.shell_complete(context, "ch") == []
    samples.write()
    assert [item.value for item in study.shell_complete(context, "ch")] == ["churn"]
    assert study.shell_complete(context, "x") == []
    context.params["storage"] = "nonsense"
    assert study.shell_complete(context, "ch") == []
