"""What a person may have meant."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known word nearest to ``word``, or an empty string."""
    import difflib

    known = list(known)
    match = [other for other in known if other.casefold() == word.casefold()]
    match = match or difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean '{match[0]}'?" if match else ""
