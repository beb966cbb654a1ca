"""Which images there are: in class folders, or in a table of paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from objectives.parts import inner_folders, roots

SUFFIXES = frozenset(
    (
        ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff",
        ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".avif", ".jp2", ".ico",
    )
)  # fmt: skip
"""Endings of files that are taken for images."""
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
    return [one for root in roots(folder) for one in root.classes()]


def find_images(folder: Path) -> ClassFolders:
    """Return all images of a folder of class folders, in the order of their names."""
    found = roots(folder)
    paths: list[Path] = []
    labels: list[str] = []
    parts: list[str] = []
    empty: list[Path] = []
    others: list[Path] = []
    for root in found:
        for name in root.classes():
            files = [path for path in sorted(name.rglob("*")) if path.is_file() and not _is_hidden(path, name)]
            images = [path for path in files if is_image(path)]
            others += [path for path in files if not is_image(path)]
            if not images:
                empty.append(name)
            paths += images
            labels += [name.name] * len(images)
            parts += [root.part] * len(images)
    tops = {folder, *(root.path for root in found)}
    loose = sum(is_image(path) and path.is_file() for top in tops for path in top.iterdir())
    unused = [] if tops == {folder} else [one for one in inner_folders(folder) if one not in tops]
    return ClassFolders(paths=paths, labels=labels, parts=parts, empty=empty, loose=loose, others=others, unused=unused)


def _is_hidden(path: Path, below: Path) -> bool:
    return any(name.startswith(".") for name in path.relative_to(below).parts)
