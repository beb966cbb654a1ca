"""Texts in files, one a file, in a folder for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from objectives.parts import roots
from objectives.plain_text import UTF_16, decode
from objectives.tables.labelled import Rows
from tuner.errors import DataError

SUFFIXES = frozenset({".txt", ".text"})
"""Endings of files that are taken for texts."""
CLASS, TEXT = "class", "text"
"""The columns of what is read."""
_LOOKED_AT = 200
"""Entries of a class folder by which it is judged."""


def holds_texts(folder: Path) -> bool:
    """Whether the folders in a folder hold texts, and next to nothing else; it looks at no more than it needs."""
    classes = [one for root in roots(folder) for one in root.classes()]
    return len(classes) >= 2 and all(_mostly_texts(one) for one in classes[:20])


def read_folder(folder: Path, *, encoding: str, notes: list[str]) -> dict[str, Rows]:
    """Return the texts with their classes by part: under ``training`` alone where there are no folders for parts.

    Raises:
        DataError: when there are no texts, or none to train on.
        OSError: when a file or folder cannot be read.
    """
    where = folder.resolve().name
    parts: dict[str, Rows] = {}
    odd: list[str] = []
    strange: list[str] = []
    for root in roots(folder):
        texts: list[str] = []
        classes: list[str] = []
        for path in (path for one in root.classes() for path in _texts(one)):
            text = _read(path, encoding, odd)
            if text is None:
                strange.append(path.name)
                continue
            texts.append(text.strip())
            classes.append(path.relative_to(root.path).parts[0])
        frame = pl.DataFrame({TEXT: texts, CLASS: classes}, schema={TEXT: pl.String, CLASS: pl.String})
        frame = frame.with_columns(pl.col(TEXT).replace("", None))
        if frame.height:
            name = f"{where}/{root.path.name}" if root.part else where
            known = parts.get(root.part or "training")
            rows = frame if known is None else pl.concat([known.frame, frame])
            parts[root.part or "training"] = Rows(where=name, frame=rows, targets=[CLASS])
    if "training" not in parts:
        raise DataError(
            f"{where}: holds no class folders of {' or '.join(sorted(SUFFIXES))} files; "
            "put the texts of each class into a folder of its name"
        )
    if odd:
        notes.append(f"{_counted(odd)} not UTF-8 and read as Windows-1252 (say otherwise with encoding = …)")
    if strange:
        notes.append(f"{_counted(strange)} no text, and left out")
    return parts


def read_loose(folder: Path, *, encoding: str, notes: list[str]) -> list[tuple[Path, str | None]]:
    """Return every text in a folder, in whatever folders, after its path in it; nothing for one that is no text.

    Raises:
        DataError: when one is not of ``encoding``.
        OSError: when a file or folder cannot be read.
    """
    odd: list[str] = []
    found: list[tuple[Path, str | None]] = []
    for path in _texts(folder):
        text = (_read(path, encoding, odd) or "").strip()
        found.append((path.relative_to(folder), text or None))
    if odd:
        notes.append(f"{_counted(odd)} not UTF-8 and read as Windows-1252")
    return found


def _texts(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if _is_text(path) and path.is_file()]


def _is_text(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _mostly_texts(folder: Path) -> bool:
    entries = [path for path, _ in zip(folder.iterdir(), range(_LOOKED_AT), strict=False)]
    return sum(map(_is_text, entries)) > len(entries) / 2


def _read(path: Path, encoding: str, odd: list[str]) -> str | None:
    """Return what a file says, or nothing where it says nothing in letters."""
    data = path.read_bytes()
    if b"\0" in data and not data.startswith(UTF_16):
        return None
    text, guessed = decode(data, encoding, where=str(path))
    if guessed:
        odd.append(path.name)
    return text


def _counted(names: Sequence[str]) -> str:
    return f"'{names[0]}' is" if len(names) == 1 else f"{len(names)} files ('{names[0]}', …) are"
