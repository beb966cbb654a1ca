"""Which rows train, which score trials, and which the search never sees."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from objectives.parts import PART_OF, PART_WORDS
from tuner.errors import DataError

Rows = NDArray[np.int64]

FAR = 2
"""A part of groups that is more than so many times larger or smaller than it should be is avoided, or told of."""


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
        return _split_groups(groups, validation=validation, test=test, seed=seed, where=where, notes=notes)
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
            has, is_in, it = ("has", "is in", "it") if len(scarce) == 1 else ("have", "are in", "them")
            notes.append(
                f"{len(scarce)} of the classes {has} fewer than {parts} rows and {is_in} the training part alone: "
                f"no score sees {it}"
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
    from sklearn.model_selection import train_test_split  # here, for it takes seconds, which new rows need not wait for

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


def _split_groups(
    groups: pl.Series, *, validation: float, test: float, seed: int, where: str, notes: list[str]
) -> Split:
    """Return what chance draws if that is near to the fractions, and else deal out the groups by their sizes."""
    rows = len(groups)
    labels = groups.cast(pl.String).fill_null("").to_numpy().astype(object)
    _, group_of, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    fractions = {name: share for name, share in (("test", test), ("validation", validation)) if share}
    wanted = rows * np.array([*fractions.values(), 1 - sum(fractions.values())])
    if len(sizes) < len(wanted):
        raise DataError(
            f"{where}: groups = '{groups.name}' has {len(sizes)} different value{'s' * (len(sizes) > 1)}, too few to "
            f"split by: each of {len(wanted)} parts needs one; choose another column"
        )
    parts = _drawn(group_of, sizes, wanted, seed=seed)
    if parts is None or _misfit(sizes, parts, wanted) > FAR:
        dealt = _dealt(sizes, wanted, seed=seed)
        parts = min([dealt] if parts is None else [parts, dealt], key=lambda its: _misfit(sizes, its, wanted))
    split = {name: np.flatnonzero(parts[group_of] == part) for part, name in enumerate([*fractions, "training"])}
    if _misfit(sizes, parts, wanted) > FAR:
        counts = ", ".join(
            f"{name} has {len(its)} rows ({share:.0f} wanted)"
            for (name, its), share in reversed([*zip(split.items(), wanted, strict=True)])
        )
        notes.append(f"whole groups of '{groups.name}' do not make parts of the wanted sizes: {counts}")
    nothing = np.arange(0)
    return Split(
        training=split["training"], validation=split.get("validation", nothing), test=split.get("test", nothing)
    )


def _drawn(group_of: Rows, sizes: Rows, wanted: NDArray[np.float64], *, seed: int) -> Rows | None:
    """Return the part of each group where a part gets the share of the *groups* that it should have of the rows.

    Nothing where that leaves none for another part.
    """
    from sklearn.model_selection import GroupShuffleSplit

    parts = np.full(len(sizes), len(wanted) - 1)
    left = np.arange(len(group_of))
    for part, count in enumerate(wanted[:-1]):
        share, different = count / len(left), len(np.unique(group_of[left]))
        if share >= 1 or math.ceil(share * different) >= different:
            return None
        drawer = GroupShuffleSplit(n_splits=1, test_size=share, random_state=seed)
        kept, drawn = next(drawer.split(left, groups=group_of[left]))
        parts[group_of[left[drawn]]] = part
        left = left[kept]
    return parts


def _dealt(sizes: Rows, wanted: NDArray[np.float64], *, seed: int) -> Rows:
    """Return the part of each group where each, the largest first, goes to the part that lacks most rows.

    The last ones go to the parts that are still empty. Chance orders groups of one size.
    """
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    parts = np.empty(len(sizes), np.int64)
    lacking, empty = wanted.copy(), np.full(len(wanted), True)
    for left, group in zip(range(len(order), 0, -1), order, strict=True):
        if left == empty.sum():
            lacking[~empty] = -np.inf
        parts[group] = part = int(lacking.argmax())
        lacking[part] -= sizes[group]
        empty[part] = False
    return parts


def _misfit(sizes: Rows, parts: Rows, wanted: NDArray[np.float64]) -> float:
    """Return how many times too large or too small the worst part is."""
    ratios = np.bincount(parts, weights=sizes, minlength=len(wanted)) / wanted
    return float(np.maximum(ratios, 1 / ratios).max())


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
