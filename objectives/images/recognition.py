"""What plainly holds images, and which of them are photos: judged by names and first bytes."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from objectives.images import files
from objectives.images.options import ImageData
from tuner.errors import DataError

_SUFFIXES = (".npz", ".npy")
_LOOKED_AT = 8
"""Images of which it is asked whether they are coloured."""


def is_images(source: Path) -> bool:
    """Whether a path plainly holds images: a folder, mostly of class folders, or arrays of three axes or more."""
    try:
        if source.is_dir():
            return files.holds_images(source)
    except OSError:
        return False
    if source.suffix.lower() not in _SUFFIXES:
        return False
    from objectives.images.arrays import hold_images, shapes

    return hold_images(shapes(source))


def are_photos(data: ImageData) -> bool:
    """Whether images are coloured, as far as a few of them tell; False where nothing tells.

    Photos show the same thing when they are mirrored or moved a little; digits do not.
    """
    if data.channels != "auto":
        return data.channels == "colour"
    if data.source == "photo_patches":
        return True
    source = Path(data.source).expanduser()
    if source.suffix.lower() in _SUFFIXES:
        from objectives.images.arrays import hold_images, shapes

        found = shapes(source)
        return hold_images(found) and any(len(shape) == 4 and 3 in (shape[1], shape[3]) for shape in found.values())
    return bool(data.source) and source.exists() and any(map(_is_coloured, _first_images(source, data)))


def _first_images(source: Path, data: ImageData) -> list[Path]:
    if source.is_dir():
        folders = files.class_folders(source)
        return list(islice((path for inner in folders for path in islice(files.images_in(inner), 2)), _LOOKED_AT))
    from objectives.images.collecting import collect

    try:
        return list(collect(data, []).files[:_LOOKED_AT])
    except DataError:
        return []  # load() says what is wrong


def _is_coloured(path: Path) -> bool:
    from objectives.images.decoding import UnreadableImageError, read_header, without_warnings

    try:
        with without_warnings():
            return read_header(path).coloured
    except (UnreadableImageError, DataError):
        return False
