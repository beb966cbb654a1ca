"""New texts, of which a kept network is to say what they are: read and tokenized as those of training were."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from torch import Tensor

from objectives.tables.labelled import Rows, require_column
from objectives.tables.new_rows import read_new_texts
from objectives.tables.target import Target
from objectives.text.columns import text_column
from objectives.text.folders import CLASS, TEXT, read_loose
from objectives.text.options import TextData
from objectives.text.tokenizers import Tokenizer
from tuner.errors import DataError
from tuner.models.samples import Samples, held

FILE = "file"
"""The column of the texts' paths, where DATA is a folder."""
TOKENS_AT_ONCE = 2**15
"""Attention's memory grows with these, and with the length of the longest text."""


@dataclass(frozen=True, kw_only=True)
class TokenizedTexts:
    """Texts as token numbers, made when the network comes to them."""

    texts: Sequence[str]
    encode: Callable[[Sequence[str]], Tensor]

    def __len__(self) -> int:
        return len(self.texts)

    def gather(self, rows: Tensor) -> Tensor:
        """Return the texts of these numbers ``[n]`` as ``[n, L]``, padded to the longest of them."""
        return self.encode([self.texts[row] for row in rows.tolist()])


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How a network sees texts."""

    tokenizer: Tokenizer
    longest: int
    """Tokens after which a text is cut."""

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Return the texts as ``[N, L]`` token numbers (int32), each with ``BOS`` first."""
        return self.tokenizer.encode(texts, max_length=self.longest, bos=True).int()


@dataclass(frozen=True, kw_only=True)
class KeptTexts:
    """What a kept model knows of the texts it learned from."""

    column: str
    """Where they stood."""
    seen: Seen
    fixed: Mapping[str, Any]
    """The hyperparameters that what it began with had fixed."""
    target: Target

    @classmethod
    def of(cls, files: Mapping[str, bytes], *, tokenizer: str, texts: str) -> KeptTexts:
        """Return what the model's files say.

        Raises:
            DataError: when they are not there, or a later version wrote them.
        """
        state = held(files, texts)
        if state.get("version") != 1:
            raise DataError(f"the texts of the model have version {state.get('version')!r}; this tuner reads version 1")
        return cls(
            column=state["column"],
            seen=Seen(tokenizer=Tokenizer.from_json(held(files, tokenizer)), longest=state["longest"]),
            fixed=state["fixed"],
            target=Target.from_json(state["target"]),
        )


@dataclass(frozen=True, kw_only=True)
class NewTexts:
    """Reads new texts as those of a model were read."""

    told: TextData
    """What a person said of those."""
    column: str
    """Where they stood."""
    targets: Sequence[str]
    known: Callable[..., dict[str, Any]]
    """What finds out whether they have targets: ``Supervised.known_targets``."""

    def read(self, data: Any, seen: Seen) -> Samples:
        """Return the texts of a table, of a folder of .txt files, or of a DataFrame or a list in memory.

        Raises:
            DataError: when there are none where the model had them, naming the file, the column and the remedy.
        """
        notes: list[str] = []
        names: Mapping[str, Sequence[Any]] = {}
        if isinstance(data, Path) and data.is_dir():
            where, frame, names = self._folder(data, notes)
            column = TEXT
        else:
            where, frame = read_new_texts(data, self.column, self.told, notes)
            column = self._column(Rows(where=where, frame=frame, targets=[]))
        series = frame[column]
        if series.dtype.is_nested() or series.dtype == pl.Object:
            raise DataError(f"{where}: column '{column}' holds {series.dtype}, not texts")
        texts = series.cast(pl.String)
        missing = [] if self.told.missing_text == "empty" else texts.is_null().arg_true().to_list()
        return Samples(
            alike=True,
            where=where,
            feeds=(TokenizedTexts(texts=texts.fill_null("").to_list(), encode=seen.encode),),
            faults=dict.fromkeys(missing, "holds no text"),
            names=names,
            columns=None if names else frame,
            most=max(1, TOKENS_AT_ONCE // seen.longest),
            notes=notes,
            **self.known(frame, where=where, notes=notes),
        )

    def _column(self, rows: Rows) -> str:
        """Return the column of that name; where training had files, not columns, the one that plainly holds texts."""
        if self.column not in rows.frame.columns and self.targets == [CLASS] and self.column == TEXT:
            try:
                return text_column(rows, "", [CLASS])
            except DataError:
                raise DataError(
                    f"{rows.where}: no column '{TEXT}'; the network learned from texts in files: give a folder of "
                    f"them, or a table with a column '{TEXT}'"
                ) from None
        require_column(self.column, rows, "column")
        return self.column

    def _folder(self, folder: Path, notes: list[str]) -> tuple[str, pl.DataFrame, Mapping[str, Sequence[Any]]]:
        where = folder.resolve().name
        try:
            found = read_loose(folder, encoding=self.told.encoding, notes=notes)
        except OSError as error:
            raise DataError(f"{error.filename or folder}: cannot be read: {error.strerror or error}") from None
        if not found:
            raise DataError(f"{where}: holds no texts; they end in .txt")
        classes = [path.parts[0] if len(path.parts) > 1 else None for path, _ in found]
        columns: dict[str, Any] = {TEXT: [text for _, text in found]}
        if self.targets == [CLASS]:  # then a folder that has the name of a class says what is right
            columns[CLASS] = classes
        frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
        return where, frame, {FILE: [str(path) for path, _ in found]}
