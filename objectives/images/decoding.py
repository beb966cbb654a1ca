"""One image file at a time: what it is, and its pixels."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from tuner.errors import DataError

Fit = Literal["stretch", "crop", "pad"]
Pixels = NDArray[Any]
"""Numbers of type uint8 or float32."""

MOST_PIXELS = 100_000_000
"""An image of more is refused: a small file can claim any size, and decoding it takes all memory."""
GREY = {"1", "L", "LA", "La", "I", "F"}
"""Pillow's modes without colour; those of 16 bits begin with ``I;16``."""
DEEP = {"I", "F"}
"""Pillow's modes of more than 8 bits a channel, beside ``I;16``."""
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError, KeyError, TypeError, OverflowError)
"""What Pillow's decoders raise for damaged files."""


class UnreadableImageError(Exception):
    """One image cannot be read; the message says why, in a few words."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What an image file says of itself."""

    height: int
    width: int
    coloured: bool
    deep: bool
    """Whether it has more than 8 bits a channel."""


def read_header(path: Path) -> Header:
    """Return what the file says of its image, as it will lie after turning it upright.

    Raises:
        UnreadableImageError: when it is no image, or a damaged one.
        DataError: when it claims more than :data:`MOST_PIXELS`.
    """
    with _opened(path) as image:
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        width, height = image.size[::-1] if turned else image.size
        deep = _is_deep(image)
        coloured = not deep and image.mode not in GREY and not _has_grey_palette(image)
        return Header(height=height, width=width, coloured=coloured, deep=deep)


def read_pixels(path: Path, *, size: tuple[int, int], coloured: bool, fit: Fit) -> Pixels:
    """Return the image ``[C, H, W]`` of ``size`` (height, width), with one channel or three, from 0 to 255.

    Values are whole but for images of more than 8 bits: those of 16 are divided by 257, and more are as they are.
    What is transparent is white. Of an animation the first picture is read.

    Raises:
        UnreadableImageError: when the file is damaged.
    """
    height, width = size
    with _opened(path) as image:
        if not _is_deep(image):
            side = max(size)  # it may yet be turned
            image.draft("RGB" if coloured else "L", (side, side))  # a JPEG can be decoded at a fraction of its size
        plain = _plain(ImageOps.exif_transpose(image), coloured=coloured)
        return _as_array(_fitted(plain, (width, height), fit), coloured=coloured)


def _plain(image: Image.Image, *, coloured: bool) -> Image.Image:
    """Return the image in grey, in colour, or, if it is deep, in floating point."""
    if _is_deep(image):
        values = np.asarray(image).astype(np.float32)
        if not np.isfinite(values).all():
            raise UnreadableImageError("holds values that are not finite")
        return Image.fromarray(values / 257 if image.mode.startswith("I;16") else values)
    if image.mode in ("LA", "La", "PA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB" if coloured else "L")


def _fitted(image: Image.Image, size: tuple[int, int], fit: Fit) -> Image.Image:
    if image.size == size:
        return image
    if fit == "crop":
        return ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    if fit == "pad":
        return ImageOps.pad(image, size, Image.Resampling.BILINEAR)
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)


def _as_array(image: Image.Image, *, coloured: bool) -> Pixels:
    array = np.asarray(image)
    if array.ndim == 3:
        return np.ascontiguousarray(array.transpose(2, 0, 1))
    return np.stack([array] * (3 if coloured else 1))


def _is_deep(image: Image.Image) -> bool:
    return image.mode in DEEP or image.mode.startswith("I;16")


def _has_grey_palette(image: Image.Image) -> bool:
    """Whether its colours are those of a palette, and all of these grey: a grey GIF has a palette too."""
    if image.mode != "P":
        return False
    colours = np.reshape(image.getpalette() or [], (-1, 3))
    return bool((colours == colours[:, :1]).all())


@contextmanager
def without_warnings() -> Iterator[None]:
    """Inside, Pillow does not warn of damaged metadata and of sizes; to be entered before any thread reads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise _too_large(path)
            yield image
    except Image.DecompressionBombError:
        raise _too_large(path) from None
    except FileNotFoundError:
        raise UnreadableImageError("no such file") from None
    except UnidentifiedImageError:
        raise UnreadableImageError("is empty" if path.stat().st_size == 0 else "is no image") from None
    except _UNREADABLE as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        raise UnreadableImageError(reason.splitlines()[0][:80]) from None


def _too_large(path: Path) -> DataError:
    return DataError(
        f"{path}: claims more than {MOST_PIXELS // 10**6} million pixels, which are not read: make it smaller, "
        "or remove it"
    )
