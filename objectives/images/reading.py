"""All images of a study in one array of one size; those that cannot be read are told apart."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from objectives.images.decoding import Header, Pixels, UnreadableImageError, read_header, read_pixels, without_warnings
from objectives.images.options import ImageData
from tuner.errors import DataError
from tuner.training.memory import free_bytes

DEFAULT_SIDE = 64
"""Images are made no larger than this on their longer side, unless a person says so."""
MEMORY_SHARE = 0.4
"""Of the free memory that pixels may take: for a while they are there twice."""
_THREADS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Images of one size, by their numbers."""

    pixels: Pixels
    """``[N, C, H, W]``; zeros where an image could not be read."""
    unreadable: dict[int, str]
    """Why, by number."""


def read_files(paths: Sequence[Path], data: ImageData, *, where: str, notes: list[str]) -> Gallery:
    """Return the images of files.

    Raises:
        DataError: when one is absurdly large, none can be read, or they do not fit into memory.
    """
    with without_warnings(), ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(_header_or_reason, paths))
        headers = {number: header for number, header in enumerate(found) if isinstance(header, Header)}
        unreadable = {number: reason for number, reason in enumerate(found) if isinstance(reason, str)}
        if not headers:
            raise DataError(f"{where}: none of {len(paths)} images can be read: {_first(paths, unreadable)}")
        size = _size([(header.height, header.width) for header in headers.values()], data, notes)
        coloured = data.channels == "colour" or (data.channels == "auto" and any(h.coloured for h in headers.values()))
        kind = np.float32 if any(header.deep for header in headers.values()) else np.uint8
        shape = (len(paths), 3 if coloured else 1, *size)
        _require_memory(shape, np.dtype(kind).itemsize, where)
        pixels: Pixels = np.zeros(shape, kind)

        def read(number: int) -> str:
            try:
                pixels[number] = read_pixels(paths[number], size=size, coloured=coloured, fit=data.fit)
            except UnreadableImageError as error:
                return str(error)
            return ""

        reasons = zip(headers, pool.map(read, headers), strict=True)
        unreadable |= {number: reason for number, reason in reasons if reason}
    return Gallery(pixels=pixels, unreadable=unreadable)


def read_arrays(pixels: Pixels, data: ImageData, *, where: str, notes: list[str]) -> Gallery:
    """Return images that are in memory, ``[N, C, H, W]``; those with a value that is not finite are unreadable.

    Raises:
        DataError: when ``data.channels`` is not what they have, or they do not fit into memory.
    """
    channels = pixels.shape[1]
    if data.channels != "auto" and channels != {"grey": 1, "colour": 3}[data.channels]:
        raise DataError(f"{where}: channels = '{data.channels}', but the arrays have {channels}; convert them first")
    unreadable = {}
    if pixels.dtype != np.uint8:
        finite = np.isfinite(pixels).all((1, 2, 3))
        unreadable = {int(number): "holds values that are not finite" for number in np.flatnonzero(~finite)}
        pixels[~finite] = 0
    height, width = pixels.shape[2:]
    size = _size([(height, width)], data, notes)
    if size != (height, width):
        _require_memory((len(pixels), channels, *size), pixels.itemsize, where)
        pixels = _resized(pixels, size)
    return Gallery(pixels=pixels, unreadable=unreadable)


def _header_or_reason(path: Path) -> Header | str:
    try:
        return read_header(path)
    except UnreadableImageError as error:
        return str(error)


def _first(paths: Sequence[Path], unreadable: dict[int, str]) -> str:
    number, reason = next(iter(unreadable.items()))
    return f"{paths[number]} ({reason})"


def _size(sizes: list[tuple[int, int]], data: ImageData, notes: list[str]) -> tuple[int, int]:
    """Return the height and width for images of these: what was asked for, else the middle of what there is."""
    wanted = data.wanted_size()
    if wanted is not None:
        return wanted
    common, count = Counter(sizes).most_common(1)[0]
    height, width = common if count * 2 > len(sizes) else (round(float(side)) for side in np.median(sizes, 0))
    scale = min(1.0, DEFAULT_SIDE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    if any(one != size for one in sizes):
        shapes = f"{height} × {width}" if count == len(sizes) else f"different sizes (typically {height} × {width})"
        notes.append(f"images of {shapes} are resized to {size[0]} × {size[1]}; say otherwise with size = …")
    return size


def _require_memory(shape: tuple[int, ...], itemsize: int, where: str) -> None:
    import torch

    needed = itemsize * float(np.prod([float(length) for length in shape]))
    free = free_bytes(torch.device("cpu"))
    if needed > MEMORY_SHARE * free:
        count, channels, height, width = shape
        raise DataError(
            f"{where}: {count} images of {height} × {width} × {channels} need {needed / 2**30:.1f} GiB of memory, "
            f"and {free / 2**30:.1f} are free; write a smaller size"
        )


def _resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Images ``[N, C, H, W]`` of another size, stretched."""
    import torch
    from torch.nn.functional import interpolate

    blocks = []
    for block in torch.split(torch.from_numpy(pixels), max(1, 2**24 // max(1, pixels[0].size))):
        smooth = interpolate(block.float(), size, mode="bilinear", antialias=True, align_corners=False)
        blocks.append(smooth.round().clamp(0, 255).to(torch.uint8) if pixels.dtype == np.uint8 else smooth)
    resized: Pixels = torch.cat(blocks).numpy()
    return resized
