from __future__ import annotations

import pytest

from tuner.cli.tables import fitting, print_table
from tuner.columns import Column


def columns() -> list[Column]:
    return [
        Column(title="trial", cells=["1", "22"]),
        Column(title="late", cells=["a" * 10, "b"], left=True, rank=2),
        Column(title="soon", cells=["0.5", "0.25"], rank=1),
    ]


@pytest.mark.parametrize(
    ("width", "titles"), [(None, ["trial", "late", "soon"]), (23, ["trial", "late", "soon"]), (22, ["trial", "soon"]),
                          (11, ["trial", "soon"]), (10, ["trial"]), (2, ["trial"])],
)  # fmt: skip
def test_columns_are_hidden_rather_than_wrapped(width: int | None, titles: list[str]) -> None:
    assert [column.title for column in fitting(columns(), width)] == titles


def test_without_a_terminal_a_table_is_aligned_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_table(columns()) == 0
    assert capsys.readouterr().out == "trial  late        soon\n    1  aaaaaaaaaa   0.5\n   22  b           0.25\n"
