"""The house keeps its shape: imports run one way, and nothing else stands at the top level."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {"storage": set(), "tuner": {"storage"}, "objectives": {"tuner"}}
TOP_LEVEL = {"pyproject.toml", "tuner", "objectives", "storage", "tests", "README.md"}


def imported(path: Path) -> Iterator[str]:
    """The top-level packages that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_imports_run_one_way(package: str) -> None:
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / package).rglob("*.py")
        for name in imported(path)
        if name in MAY_IMPORT.keys() - MAY_IMPORT[package] - {package}
    }
    assert not wrong


def test_storage_knows_nothing_of_torch_or_the_command_line() -> None:
    names = {name for path in (ROOT / "storage").rglob("*.py") for name in imported(path)}
    assert not names & {"torch", "click", "rich", "sklearn", "polars", "pydantic"}


def test_nothing_else_stands_at_the_top_level() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout")
    visible = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert {name for name in visible if not name.startswith(".")} == TOP_LEVEL
