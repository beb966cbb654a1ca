"""Which rows train, which are scored, which are kept for the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from objectives.tables.splitting import Split, split_randomly
from tests.objectives.tables_kit import churn, marked, marks, prepare
from tuner.errors import DataError


def test_the_split_is_stratified_disjoint_and_complete(tmp_path: Path) -> None:
    table = prepare(marked(churn(200)), tmp_path)
    assert {part: len(rows.targets) for part, rows in table.parts.items()} == {
        "training": 120,
        "validation": 40,
        "test": 40,
    }
    shares = [rows.targets.mean() for rows in table.parts.values()]
    assert max(shares) - min(shares) < 0.03
    parts = [marks(table, part) for part in table.parts]
    assert sum(len(part) for part in parts) == len(set().union(*parts)) == 200


def test_the_same_seed_gives_the_same_split_and_another_one_another(tmp_path: Path) -> None:
    frame = marked(churn(100))
    first, again, other = (prepare(frame, tmp_path, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.parts["training"].inputs, again.parts["training"].inputs)
    assert marks(first, "test") != marks(other, "test")


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 120),
    classes=st.integers(1, 6),
    validation=st.floats(0.01, 0.6),
    test=st.one_of(st.just(0.0), st.floats(0.01, 0.39)),
    seed=st.integers(0, 2**32 - 1),
)
@example(rows=14, classes=5, validation=0.1875, test=0.375, seed=1)  # the test leaves one row of a class
def test_any_split_is_disjoint_and_complete_or_refused(
    rows: int, classes: int, validation: float, test: float, seed: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, classes, rows)
    try:
        split = split_randomly(
            rows, validation=validation, test=test, classes=labels, groups=None, seed=seed, where="t.csv", notes=[]
        )
    except DataError:
        return
    everything = np.concatenate([split.training, split.validation, split.test])
    assert sorted(everything) == list(range(rows))
    assert len(split.training) >= 2
    assert len(split.validation) >= 1
    assert (len(split.test) > 0) == (test > 0)
    assert set(labels[split.validation]) <= set(labels[split.training])


def test_a_class_with_one_row_trains_only_and_is_noted(tmp_path: Path) -> None:
    frame = churn(100).with_columns(pl.Series("plan", ["typo", *churn(100)["plan"][1:]]))
    table = prepare(frame, tmp_path, target="plan")
    typo = table.target.classes.index("typo")
    counts = {part: int((rows.targets == typo).sum()) for part, rows in table.parts.items()}
    assert counts == {"training": 1, "validation": 0, "test": 0}
    told = "1 of the classes has fewer than 3 rows and is in the training part alone: no score sees it"
    assert told in table.notes


def test_a_column_may_say_which_part_a_row_is_in(tmp_path: Path) -> None:
    words = ["Train"] * 50 + ["val"] * 30 + ["holdout"] * 20
    table = prepare(churn(100).insert_column(0, pl.Series("part", words)), tmp_path, split_column="part")
    assert [len(rows.targets) for rows in table.parts.values()] == [50, 30, 20]
    assert not any("part" in feature for feature in table.preprocessing.features)


def test_rows_of_a_group_stay_together(tmp_path: Path) -> None:
    groups = np.repeat(np.arange(20), 5)
    frame = churn(100).insert_column(0, pl.Series("home", groups)).insert_column(0, pl.Series("mark", groups * 1.5))
    table = prepare(frame, tmp_path, groups="home")
    parts = [marks(table, part) for part in table.parts]
    assert sum(len(part) for part in parts) == 20
    assert "home" not in table.preprocessing.features


def split_groups(groups: Any, *, validation: float = 0.2, test: float = 0.2, seed: int = 0) -> tuple[Split, list[str]]:
    notes: list[str] = []
    split = split_randomly(
        len(groups),
        validation=validation,
        test=test,
        classes=None,
        groups=pl.Series("home", groups),
        seed=seed,
        where="t.csv",
        notes=notes,
    )
    return split, notes


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 80), min_size=3, max_size=20),
    validation=st.floats(0.01, 0.6),
    test=st.one_of(st.just(0.0), st.floats(0.01, 0.39)),
    seed=st.integers(0, 2**32 - 1),
)
@example(sizes=[80, 4, 4, 4, 4, 4], validation=0.2, test=0.2, seed=4)  # chance puts the large group into the test
def test_three_groups_of_any_sizes_make_parts(sizes: list[int], validation: float, test: float, seed: int) -> None:
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    split, _ = split_groups(groups, validation=validation, test=test, seed=seed)
    parts = [split.training, split.validation, split.test]
    assert sorted(np.concatenate(parts)) == list(range(len(groups)))
    assert [len(part) > 0 for part in parts] == [True, True, test > 0]
    assert sum(len(np.unique(groups[part])) for part in parts) == len(sizes)


def test_groups_that_chance_splits_well_stay_where_it_put_them() -> None:
    """Studies that are resumed must find their parts again."""
    groups = np.repeat(np.arange(10), 5)
    split, notes = split_groups(groups, seed=3)
    assert (set(groups[split.validation]), set(groups[split.test]), notes) == ({7, 9}, {4, 5}, [])


@pytest.mark.parametrize("seed", range(10))
def test_a_large_group_trains_and_what_that_makes_of_the_parts_is_noted(seed: int) -> None:
    split, notes = split_groups(np.repeat(np.arange(6), [80] + [4] * 5), seed=seed)
    assert (len(split.training), len(split.validation), len(split.test)) == (80, 8, 12)
    assert notes == [
        "whole groups of 'home' do not make parts of the wanted sizes: training has 80 rows (60 wanted), "
        "validation has 8 rows (20 wanted), test has 12 rows (20 wanted)"
    ]


def test_validation_and_test_may_be_files_of_their_own(tmp_path: Path) -> None:
    for name, seed in (("validation", 1), ("test", 2)):
        churn(30, seed=seed).select("churned", "plan", "age", "spend").write_csv(tmp_path / f"{name}.csv")
    files: dict[str, Any] = {f"{name}_file": str(tmp_path / f"{name}.csv") for name in ("validation", "test")}
    table = prepare(churn(100), tmp_path, **files)
    assert {part: len(rows.targets) for part, rows in table.parts.items()} == {
        "training": 100,
        "validation": 30,
        "test": 30,
    }


def test_without_a_test_part_a_note_says_so(tmp_path: Path) -> None:
    table = prepare(churn(100), tmp_path, test=0)
    assert set(table.parts) == {"training", "validation"}
    assert any("no rows are kept for a test" in note for note in table.notes)
