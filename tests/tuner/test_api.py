from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

import tuner


@pytest.mark.parametrize("name", tuner.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(tuner, name) is not None


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'tuner' has no attribute 'strat'"):
        getattr(tuner, "strat")  # noqa: B009 - mypy knows that it is not there


def test_importing_the_api_imports_next_to_nothing() -> None:
    code = """
        import sys, tuner
        from tuner import load
        assert not {"torch", "sklearn", "optuna", "sqlalchemy", "pydantic"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
