"""Which images there are: in class folders, or in a table of paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

SUFFIXES = frozenset(
    (
        ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff",
        ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".avif", ".jp2", ".ico",
    )
)  # fmt: skip
"""Endings of files that are taken for images."""
PART_FOLDERS = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "holdout": "test",
}
"""Names of folders that hold the class folders of one part."""
_LOOKED_AT = 2000
"""Entries of a folder that are looked at before it is said to hold no image."""


@dataclass(frozen=True, kw_only=True)
class ClassFolders:
    """What a folder of class folders holds."""

    paths: Sequence[Path]
    labels: Sequence[str]
    parts: Sequence[str]
    """``training``, ``validation`` or ``test`` of each image; all are empty where there are no folders for parts."""
    empty: Sequence[Path]
    """Class folders without an image."""
    loose: int
    """Images outside class folders."""
    others: Sequence[Path]
    """Files in class folders that are no images by their names."""
    unused: Sequence[Path]
    """Folders beside those for parts."""


def is_image(path: Path) -> bool:
    """Whether a file is an image by its name."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def holds_images(folder: Path) -> bool:
    """Whether a folder, or a class folder in it, holds images, looking at no more of it than needed."""
    if any(is_image(path) for path in islice(folder.iterdir(), _LOOKED_AT)):
        return True
    return any(True for inner in class_folders(folder) for _ in images_in(inner, most=_LOOKED_AT))


def images_in(folder: Path, *, most: int | None = None) -> Iterator[Path]:
    """Yield the images of one class folder as they come, looking at so many entries at ``most``."""
    entries = (path for path in folder.rglob("*") if not _is_hidden(path, folder))
    return (path for path in islice(entries, most) if is_image(path))


def class_folders(folder: Path) -> list[Path]:
    """Return the class folders of a folder, or those of its folders for parts."""
    return [name for _, root in _roots(folder) for name in _folders(root)]


def _roots(folder: Path) -> list[tuple[str, Path]]:
    """Return the folders that hold class folders, each after the part it is for: nothing where there are no parts."""
    named = [(PART_FOLDERS.get(inner.name.lower(), ""), inner) for inner in _folders(folder)]
    parts = {part for part, _ in named}
    if "training" in parts and (len(parts - {""}) > 1 or "" not in parts):
        return [(part, inner) for part, inner in named if part]
    return [("", folder)]


def find_images(folder: Path) -> ClassFolders:
    """Return all images of a folder of class folders, in the order of their names."""
    roots = _roots(folder)
    paths: list[Path] = []
    labels: list[str] = []
    parts: list[str] = []
    empty: list[Path] = []
    others: list[Path] = []
    for part, root in roots:
        for name in _folders(root):
            files = [path for path in sorted(name.rglob("*")) if path.is_file() and not _is_hidden(path, name)]
            images = [path for path in files if is_image(path)]
            others += [path for path in files if not is_image(path)]
            if not images:
                empty.append(name)
            paths += images
            labels += [name.name] * len(images)
            parts += [part] * len(images)
    roots_and_top = {folder, *(root for _, root in roots)}
    loose = sum(is_image(path) and path.is_file() for root in roots_and_top for path in root.iterdir())
    unused = [] if roots == [("", folder)] else [one for one in _folders(folder) if one not in roots_and_top]
    return ClassFolders(paths=paths, labels=labels, parts=parts, empty=empty, loose=loose, others=others, unused=unused)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))


def _is_hidden(path: Path, below: Path) -> bool:
    return any(name.startswith(".") for name in path.relative_to(below).parts)
