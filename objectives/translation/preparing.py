"""From the ``[data]`` of a study file to pairs of texts in parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from objectives.tables.labelled import listed, read_options
from objectives.tables.reading import read_table
from objectives.tables.splitting import Split, split_by_column, split_randomly
from objectives.translation.cmudict import COLUMNS, NAME, load_cmudict
from objectives.translation.options import TranslationData
from tuner.errors import DataError
from tuner.sections import nearest

WHOLE_SHARE = 99
LEAST_LONGEST, MOST_LONGEST = 64, 512
FEWEST_PAIRS = 3


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Texts and their translations, in one order."""

    sources: Sequence[str]
    targets: Sequence[str]

    def __len__(self) -> int:
        return len(self.sources)

    def cut(self, longest: int) -> Pairs:
        """Return them with at most so many characters a text."""
        return Pairs(
            sources=[text[:longest] for text in self.sources], targets=[text[:longest] for text in self.targets]
        )

    def first(self, count: int) -> Pairs:
        """Return the first so many."""
        return Pairs(sources=self.sources[:count], targets=self.targets[:count])

    def lengths(self) -> list[int]:
        """Return the characters of every text."""
        return [len(text) for text in (*self.sources, *self.targets)]


@dataclass(frozen=True, kw_only=True)
class PreparedPairs:
    """Pairs that are ready to be tokenized."""

    where: str
    columns: tuple[str, str]
    """The names of the texts' column and of their translations'."""
    parts: Mapping[str, Pairs]
    """``training``, ``validation`` and, unless none is kept, ``test``."""
    longest: int
    """Characters that a text has at most."""
    notes: Sequence[str]
    """What a person should know."""


@dataclass(frozen=True, kw_only=True)
class _Table:
    where: str
    frame: pl.DataFrame


def prepare_pairs(data: TranslationData, *, seed: int) -> PreparedPairs:
    """Return the pairs of a study file's ``[data]``; which part each is in depends on ``seed`` alone.

    Pairs with the same source text stay in one part.

    Raises:
        DataError: when they cannot be used, with one line that names the file, the column and the remedy.
    """
    notes: list[str] = []
    table = _read(data.source, data, notes)
    columns = _columns(table, data)
    table = _Table(where=table.where, frame=_clean(table, columns, data, notes))
    _check_different(table, columns)
    if data.limit and table.frame.height > data.limit:
        table = _Table(where=table.where, frame=table.frame.sample(data.limit, seed=seed))
    files = {"validation": data.validation_file, "test": data.test_file}
    others = {part: _read_other(file, columns, data, notes) for part, file in files.items() if file}
    split = _split(table, columns, data, set(others), seed=seed, notes=notes)
    rows = {"training": split.training, "validation": split.validation, "test": split.test}
    frames = {part: table.frame[numbers] for part, numbers in rows.items()}
    frames |= {part: other.frame for part, other in others.items()}
    parts = {part: _pairs(frame, columns) for part, frame in frames.items() if frame.height}
    longest = data.longest or _longest(parts["training"])
    _note_cut(parts, longest, notes)
    return PreparedPairs(
        where=table.where,
        columns=columns,
        parts={part: pairs.cut(longest) for part, pairs in parts.items()},
        longest=longest,
        notes=tuple(notes),
    )


def _read(source: str, data: TranslationData, notes: list[str]) -> _Table:
    if not source:
        raise DataError(f"[data]: source is missing; name a file with pairs of texts, or {NAME}")
    if source == NAME and not Path(source).is_file():
        return _Table(where=NAME, frame=load_cmudict())
    if "." not in source and not Path(source).exists():
        hint = nearest(source, [NAME]) or f"; built in: {NAME}"
        raise DataError(f"{source}: no such file and no built-in data set{hint}")
    frame, read_notes = read_table(source, read_options(data))
    notes += read_notes
    return _Table(where=Path(source).name, frame=frame)


def _read_other(file: str, columns: tuple[str, str], data: TranslationData, notes: list[str]) -> _Table:
    table = _read(file, data, notes)
    for name in columns:
        _require(name, table)
    return _Table(where=table.where, frame=_clean(table, columns, data, notes))


def _columns(table: _Table, data: TranslationData) -> tuple[str, str]:
    """Return the columns of the texts and of their translations."""
    names = table.frame.columns
    if table.where == NAME and not (data.source_text or data.target):
        return COLUMNS
    if not data.target:
        raise DataError(
            f"{table.where}: which column holds the translations? write --target COLUMN (target = … in a study file); "
            f"{listed(names)}"
        )
    _require(data.target, table)
    if data.source_text:
        _require(data.source_text, table)
        return data.source_text, data.target
    others = [name for name in names if name not in (data.target, data.split_column)]
    if len(others) != 1:
        raise DataError(f"{table.where}: which column is to be translated? write source_text = …; {listed(names)}")
    return others[0], data.target


def _require(name: str, table: _Table) -> None:
    if name not in table.frame.columns:
        hint = nearest(name, table.frame.columns)
        raise DataError(f"{table.where}: no column '{name}'{hint}{' ' if hint else '; '}{listed(table.frame.columns)}")


def _clean(table: _Table, columns: tuple[str, str], data: TranslationData, notes: list[str]) -> pl.DataFrame:
    """Return the rows that have both texts, each pair once."""
    for name in columns:
        if table.frame[name].dtype.is_nested() or table.frame[name].dtype == pl.Object:
            raise DataError(f"{table.where}: column '{name}' holds {table.frame[name].dtype}, not text")
    frame = table.frame.with_columns(pl.col(*columns).cast(pl.String))
    for name in columns:
        if frame[name].null_count() == frame.height:
            raise DataError(f"{table.where}: every text of column '{name}' is empty; choose another column")
    whole = frame.drop_nulls(list(columns))
    if whole.height < frame.height:
        notes.append(f"{table.where}: {_count(frame.height - whole.height)} without one of the texts left out")
    once = whole.unique(list(columns), keep="first", maintain_order=True)
    if once.height < whole.height:
        was = "was" if whole.height - once.height == 1 else "were"
        notes.append(f"{table.where}: {_count(whole.height - once.height)} that {was} there before left out")
    if not once.height:
        raise DataError(f"{table.where}: no row has both a '{columns[0]}' and a '{columns[1]}'")
    return once


def _count(pairs: int) -> str:
    return f"{pairs} pair{'s' * (pairs > 1)}"


def _check_different(table: _Table, columns: tuple[str, str]) -> None:
    source, target = (table.frame[name] for name in columns)
    if (source == target).all():
        raise DataError(
            f"{table.where}: columns '{columns[0]}' and '{columns[1]}' hold the same texts: nothing to translate; "
            "choose other columns"
        )
    if target.n_unique() == 1 and table.frame.height > 1:
        raise DataError(f"{table.where}: every translation in '{columns[1]}' is the same; choose another column")


def _split(
    table: _Table, columns: tuple[str, str], data: TranslationData, given: set[str], *, seed: int, notes: list[str]
) -> Split:
    frame, where = table.frame, table.where
    if data.split_column:
        _require(data.split_column, table)
        return split_by_column(frame[data.split_column], where=where)
    validation = 0.0 if "validation" in given else data.validation
    test = 0.0 if "test" in given else data.test
    if not test and "test" not in given:
        notes.append("no pairs are kept for a test: the winner's score on fresh data will not be known")
    if frame.height < FEWEST_PAIRS:
        raise DataError(f"{where}: has {_count(frame.height)}, too few to train on and score; give more data")
    texts = frame[columns[0]]
    return split_randomly(
        frame.height,
        validation=validation,
        test=test,
        classes=None,
        groups=texts if texts.n_unique() < len(texts) and (validation or test) else None,
        seed=seed,
        where=where,
        notes=notes,
    )


def _pairs(frame: pl.DataFrame, columns: tuple[str, str]) -> Pairs:
    return Pairs(sources=frame[columns[0]].to_list(), targets=frame[columns[1]].to_list())


def _longest(training: Pairs) -> int:
    whole = int(np.percentile(training.lengths(), WHOLE_SHARE, method="higher"))
    return min(MOST_LONGEST, max(LEAST_LONGEST, whole))


def _note_cut(parts: Mapping[str, Pairs], longest: int, notes: list[str]) -> None:
    cut = sum(length > longest for pairs in parts.values() for length in pairs.lengths())
    if cut:
        texts = "1 text has" if cut == 1 else f"{cut} texts have"
        notes.append(
            f"{texts} more than {longest} characters: the rest of it is cut off; [data] longest says otherwise"
        )
