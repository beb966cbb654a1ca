"""New texts to be translated by a kept network: read and tokenized as those of training were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from torch import Tensor

from objectives.tables.labelled import Rows, require_column
from objectives.tables.new_rows import read_new_texts
from objectives.text.new_texts import TokenizedTexts
from objectives.text.tokenizers import Tokenizer
from objectives.translation.encoding import Seen
from objectives.translation.options import TranslationData
from objectives.translation.translator import TEXTS_AT_ONCE
from tuner.errors import DataError, UsageError
from tuner.models.samples import Samples


@dataclass(frozen=True, kw_only=True)
class KeptPairs:
    """What a kept model knows of the pairs it learned from."""

    columns: tuple[str, str]
    """Of the texts and of their translations."""
    characters: int
    """After which a text is cut."""
    seen: Seen

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "version": 1,
            "columns": list(self.columns),
            "characters": self.characters,
            "longest": self.seen.longest,
            "source_tokenizer": self.seen.source.to_json(),
            "target_tokenizer": self.seen.target.to_json(),
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> KeptPairs:
        """Return what :meth:`to_json` wrote.

        Raises:
            DataError: when a later version wrote it.
        """
        if state.get("version") != 1:
            raise DataError(f"the pairs of the model have version {state.get('version')!r}; this tuner reads version 1")
        source, target = state["columns"]
        seen = Seen(
            source=Tokenizer.from_json(state["source_tokenizer"]),
            target=Tokenizer.from_json(state["target_tokenizer"]),
            longest=state["longest"],
        )
        return cls(columns=(source, target), characters=state["characters"], seen=seen)


def read_texts(data: Any, told: TranslationData, kept: KeptPairs) -> Samples:
    """Return the texts of a table, or of a DataFrame or a list in memory; translations beside them are targets.

    Raises:
        DataError: when there is no such column, naming the file and the nearest one.
        UsageError: for another length than the network reads.
    """
    if told.longest not in (None, kept.characters):
        raise UsageError(
            f"data.longest = {told.longest}: the network reads {kept.characters} characters of a text; leave it out"
        )
    notes: list[str] = []
    source, target = told.source_text or kept.columns[0], told.target or kept.columns[1]
    where, frame = read_new_texts(data, source, told, notes)
    require_column(source, Rows(where=where, frame=frame, targets=[]), "column")
    for name in {source, target} & {*frame.columns}:
        if frame[name].dtype.is_nested() or frame[name].dtype == pl.Object:
            raise DataError(f"{where}: column '{name}' holds {frame[name].dtype}, not text")
    texts = frame[source].cast(pl.String)
    known = frame[target].cast(pl.String) if target in frame.columns else pl.Series([], dtype=pl.String)
    labelled = known.is_not_null().arg_true().to_list()

    def encode(some: Sequence[str]) -> Tensor:
        cut = [text[: kept.characters] for text in some]
        return kept.seen.source.encode(cut, max_length=kept.seen.longest, eos=True)

    right = [text[: kept.characters] for text in known.drop_nulls().to_list()]
    return Samples(
        where=where,
        feeds=(TokenizedTexts(texts=texts.fill_null("").to_list(), encode=encode),),
        faults=dict.fromkeys(texts.is_null().arg_true().to_list(), "holds no text"),
        labelled=labelled,
        targets=kept.seen.target.encode(right, eos=True) if labelled else None,
        columns=frame,
        most=TEXTS_AT_ONCE,
        notes=notes,
    )
