"""The bytes of text files are read by one set of rules."""

from __future__ import annotations

import pytest

from objectives.plain_text import decode
from tuner.errors import DataError


@pytest.mark.parametrize(
    ("written", "said", "guessed"),
    [
        ("utf-8", "", False),
        ("utf-8-sig", "", False),
        ("utf-16", "", False),
        ("cp1252", "", True),
        ("cp1252", "cp1252", False),
        ("utf-8-sig", "utf-8", False),
        ("utf-16", "utf-16", False),
    ],
)
def test_text_is_read_without_its_mark_and_a_guess_is_told(written: str, said: str, guessed: bool) -> None:
    assert decode("Größe".encode(written), said, where="t.txt") == ("Größe", guessed)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("utf8000", "t.txt: unknown encoding 'utf8000'; try 'utf-8' or 'windows-1252'"),
        ("utf-8", "t.txt: is not text in utf-8: .*; try another encoding"),
    ],
)
def test_an_encoding_that_is_not_that_of_the_text_is_refused(said: str, line: str) -> None:
    with pytest.raises(DataError, match=line):
        decode("Größe".encode("cp1252"), said, where="t.txt")
