"""Texts without labels that come with Babel: lists of names, each in one language."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping

from objectives.text.datasets import LANGUAGES

SEPARATOR = ", "
CHARACTERS = 62
"""A list has no more, but for one of a single longer name: with its two ends that makes 64 tokens of a character."""
SHUFFLES = 3
"""So many lists of the training part hold the same name, each time beside others."""


def names_by_language() -> dict[str, list[str]]:
    """Return what each of ``LANGUAGES`` calls currencies, cities, time zones and scripts.

    That is Babel's copy of the Unicode Common Locale Data Repository, without any text of the built-in data set
    ``languages``, whose names are those of territories and languages. Names that hold ``SEPARATOR`` are left out: some
    begin with such a text.
    """
    from babel import Locale

    locales = [Locale(code) for code in LANGUAGES]
    studied = {
        str(text).strip() for locale in locales for text in (*locale.territories.values(), *locale.languages.values())
    }
    names = {}
    for locale in locales:
        found = {str(text).strip() for text in (*locale.currencies.values(), *locale.scripts.values())}
        found.update(zone["city"].strip() for zone in locale.time_zones.values() if "city" in zone)
        found.update(text.strip() for zone in locale.meta_zones.values() for text in zone.get("long", {}).values())
        names[str(locale)] = sorted(name for name in found - studied - {""} if SEPARATOR not in name)
    return names


def split_lists(names: Mapping[str, Collection[str]], *, validation: float, seed: int) -> tuple[list[str], list[str]]:
    """Return lists of names for training and for validation; no list of either holds a name of the other.

    A list is three or four names of one language, parted by commas. So which names are of the same language is known to
    pre-training, as it is of the sentences of any document; which language that is, is not. What the network finds in
    the other names of a list helps it to find out a hidden character: it learns to tell languages apart, for which a
    single name gives no cause.
    """
    chance = random.Random(seed)
    known = sorted({name for its in names.values() for name in its})
    chance.shuffle(known)
    held_out = {*known[: max(1, round(len(known) * validation))]}
    training: list[str] = []
    validating: list[str] = []
    for its in names.values():
        for _ in range(SHUFFLES):
            training += _lists([name for name in its if name not in held_out], chance)
        validating += _lists([name for name in its if name in held_out], chance)
    return training, validating


def _lists(names: list[str], chance: random.Random) -> list[str]:
    chance.shuffle(names)
    lists: list[str] = []
    for name in names:
        longer = f"{lists[-1]}{SEPARATOR}{name}" if lists else name
        if lists and len(longer) <= CHARACTERS:
            lists[-1] = longer
        else:
            lists.append(name)
    return lists
