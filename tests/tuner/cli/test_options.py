from __future__ import annotations

import logging

import pytest

from tests.tuner.cli import samples
from tests.tuner.cli.conftest import Run


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
