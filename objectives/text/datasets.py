"""Texts that come with what the tuner is built on. Nothing is downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

NAMES = ("languages",)
"""The built-in data sets that ``source`` may name."""

LANGUAGES = ("da", "nb", "sv", "es", "it", "pt", "cs", "sk", "bg", "ru", "uk", "ar", "fa", "hi", "mr")
"""Four scripts; within each, languages that are hard to tell apart."""


def load_built_in(name: str) -> tuple[pl.DataFrame, list[str]]:
    """Return the table and the names of its target columns.

    ``languages``: how each of ``LANGUAGES`` calls the territories and languages of the world, by Babel's copy of the
    Unicode Common Locale Data Repository; names that two of them share are left out.

    Raises:
        KeyError: when there is no such data set.
    """
    import polars as pl
    from babel import Locale

    if name not in NAMES:
        raise KeyError(name)
    writers: dict[str, set[str]] = {}
    for code in LANGUAGES:
        locale = Locale(code)
        for written in (*locale.territories.values(), *locale.languages.values()):
            writers.setdefault(str(written).strip(), set()).add(locale.english_name or code)
    names = sorted((text, *languages) for text, languages in writers.items() if len(languages) == 1)
    return pl.DataFrame(names, schema=["name", "language"], orient="row"), ["language"]
