"""The parts that data is in: what people call them, and folders of class folders that are named after them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PART_WORDS = {
    "training": ("training", "train", "fit"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "holdout", "hold-out"),
}
"""What people call the parts."""
PART_OF = {word: part for part, words in PART_WORDS.items() for word in words}
"""Which part a word means."""


@dataclass(frozen=True, kw_only=True)
class Root:
    """A folder that holds class folders."""

    path: Path
    part: str
    """``training``, ``validation`` or ``test``; empty where the class folders are not in folders for parts."""

    def classes(self) -> list[Path]:
        """Return the class folders, by name."""
        return inner_folders(self.path)


def roots(folder: Path) -> list[Root]:
    """Return the folders for parts in a folder, or the folder itself where its own folders are the classes.

    They are for parts if one holds folders to train on, and there is a second one or no folder of another name: a class
    may be named ``train``.
    """
    inside = inner_folders(folder)
    named = [Root(path=path, part=PART_OF[path.name.lower()]) for path in inside if path.name.lower() in PART_OF]
    filled = [root for root in named if root.classes()]
    parts = {root.part for root in filled}
    if "training" in parts and (len(parts) > 1 or len(named) == len(inside)):
        return filled
    return [Root(path=folder, part="")]


def inner_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, by name, hidden ones left out."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))
