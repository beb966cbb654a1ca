"""Which rows train, which score trials, and which the search never sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from objectives.parts import PART_OF, PART_WORDS
from tuner.errors import DataError

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Split:
    """Row numbers of the parts, ascending."""

    training: Rows
    validation: Rows
    test: Rows


def split_randomly(
    rows: int,
    *,
    validation: float,
    test: float,
    classes: Rows | None,
    groups: pl.Series | None,
    seed: int,
    where: str,
    notes: list[str],
) -> Split:
    """Return a split into fractions, drawn by ``seed``; a fraction of 0 makes an empty part.

    With ``classes`` every part has the same share of each; a class with too few rows for that trains only.
    With ``groups`` the rows of a group stay together.

    Raises:
        DataError: when a part would be empty or has fewer rows than there are classes, or a class has no training row.
    """
    everything = np.arange(rows)
    if groups is not None:
        return _split_groups(groups, validation=validation, test=test, seed=seed, where=where)
    parts = 1 + (validation > 0) + (test > 0)
    training_only, pool = everything[:0], everything
    if classes is not None:
        counts = np.bincount(classes)
        scarce = np.flatnonzero((counts > 0) & (counts < parts))
        if len(scarce):
            mask = np.isin(classes, scarce)
            training_only, pool = everything[mask], everything[~mask]
            if not len(pool):
                raise DataError(f"{where}: every class has fewer than {parts} rows; is the target the right column?")
            notes.append(
                f"{len(scarce)} of the classes {'has' if len(scarce) == 1 else 'have'} fewer than {parts} rows, "
                "all of which are in the training part: no score sees them"
            )
    left = pool
    parted = {"test": everything[:0], "validation": everything[:0]}
    for name, fraction in (("test", test), ("validation", validation)):
        if fraction:
            share, count = f"{name} = {fraction:g}", round(rows * fraction)
            parted[name], left = _draw(left, share, count, classes, seed=seed, where=where)
    training = np.sort(np.concatenate([left, training_only]))
    if len(training) < 2:
        raise DataError(f"{where}: {rows} row{'s' * (rows > 1)} leave {len(training)} to train on; more are needed")
    if classes is not None and len(np.setdiff1d(classes, classes[training])):
        raise DataError(f"{where}: a class with few rows has none left to train on; give more data, or smaller parts")
    return Split(training=training, validation=parted["validation"], test=parted["test"])


def _draw(pool: Rows, share: str, count: int, classes: Rows | None, *, seed: int, where: str) -> tuple[Rows, Rows]:
    """Return ``count`` rows drawn from the pool, ascending, and the others; ``share`` is how the person wrote it."""
    if count < 1 or count >= len(pool):
        raise DataError(
            f"{where}: {share} of the rows is {count} of {len(pool)}; each part needs a row: give more data"
        )
    labels = None if classes is None else classes[pool]
    if labels is not None:
        counts = np.unique(labels, return_counts=True)[1]
        different = len(counts)
        if counts.min() < 2:  # the part that was drawn before may have left one
            raise DataError(f"{where}: {share} of the rows leaves too few of a class; give more data, or smaller parts")
        if min(count, len(pool) - count) < different:
            raise DataError(
                f"{where}: {share} of the rows is {count}, fewer than the {different} classes; "
                "raise it, or write stratify = false"
            )
    kept, drawn = train_test_split(pool, test_size=count, random_state=seed, stratify=labels)
    return np.sort(drawn), np.sort(kept)


def _split_groups(groups: pl.Series, *, validation: float, test: float, seed: int, where: str) -> Split:
    labels = groups.cast(pl.String).fill_null("").to_numpy().astype(object)
    left = np.arange(len(labels))
    parted = {"test": left[:0], "validation": left[:0]}
    for name, fraction in (("test", test), ("validation", validation)):
        if not fraction:
            continue
        different = len(set(labels[left]))
        share = fraction * len(labels) / len(left)
        if different < 2 or round(different * share) in (0, different):
            raise DataError(
                f"{where}: groups = '{groups.name}' has {len(set(labels))} different values, too few to split by; "
                "choose another column or larger fractions"
            )
        drawer = GroupShuffleSplit(n_splits=1, test_size=share, random_state=seed)
        kept, drawn = next(drawer.split(left, groups=labels[left]))
        parted[name], left = left[drawn], left[kept]
    return Split(training=left, validation=parted["validation"], test=parted["test"])


def split_by_column(column: pl.Series, *, where: str) -> Split:
    """Return the split that a column of words like train, validation and test spells out.

    Raises:
        DataError: for another word, and when no row is for training or none for validation.
    """
    words = column.cast(pl.String).str.to_lowercase()
    strange = words.filter(~words.is_in(list(PART_OF)).fill_null(False)).unique(maintain_order=True).to_list()
    if strange:
        shown = "nothing" if strange[0] is None else f"'{strange[0]}'"
        raise DataError(
            f"{where}: split_column '{column.name}' holds {shown}; write training, validation or test in each row"
        )
    parts = words.replace_strict(PART_OF, return_dtype=pl.String).to_numpy()
    rows = {part: np.flatnonzero(parts == part) for part in PART_WORDS}
    for part in ("training", "validation"):
        if not len(rows[part]):
            raise DataError(f"{where}: split_column '{column.name}' has no row for {part}")
    return Split(training=rows["training"], validation=rows["validation"], test=rows["test"])
