"""From the ``[data]`` of a study file to pixels: collected, read, split, with statistics of the training part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from objectives.images.collecting import CLASS, NUMBER, Collected, collect
from objectives.images.decoding import Pixels
from objectives.images.options import ImageData
from objectives.images.reading import Gallery, read_arrays, read_files
from objectives.tables.labelled import Rows, split_labelled
from objectives.tables.target import Target
from tuner.errors import DataError, UsageError

NAMED = 5
"""So many of the images that cannot be read are named."""
SUMMED_NUMBERS = 2**22
"""Pixels that are summed up at a time."""


@dataclass(frozen=True, kw_only=True)
class PreparedPart:
    """The images of one part."""

    pixels: Pixels
    """``[N, C, H, W]``"""
    targets: NDArray[Any]
    """Class numbers ``[N]``, or standardised values ``[N, T]``."""


@dataclass(frozen=True, kw_only=True)
class PreparedImages:
    """Images that are ready to train on, and all that is needed to make new ones ready in the same way."""

    where: str
    parts: Mapping[str, PreparedPart]
    """``training``, ``validation`` and, unless none is kept, ``test``."""
    target: Target
    shape: tuple[int, int, int]
    """Channels, height and width of an image."""
    from_files: bool
    """Whether they were read from image files, whose pixels are of one scale whatever they show; else arrays."""
    column: str
    """Where a table named them: the column of paths."""
    highest: float
    """The largest number of the training part, and whether any has a fraction: how the pixels are scaled."""
    fractions: bool
    means: tuple[float, ...]
    """Of each channel, over the training part's pixels."""
    deviations: tuple[float, ...]
    unreadable: int
    """Images that were skipped."""
    notes: Sequence[str]
    """What a person should know."""

    def to_json(self) -> dict[str, Any]:
        """Return all that new images are made by, and what the outputs mean, as plain JSON."""
        kept = ("shape", "from_files", "column", "highest", "fractions", "means", "deviations")
        return {"version": 1, "target": self.target.to_json(), **{name: getattr(self, name) for name in kept}}

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> PreparedImages:
        """Return what :meth:`to_json` wrote: of the images themselves nothing.

        Raises:
            DataError: when it was written by a later version.
        """
        if state.get("version") != 1:
            raise DataError(
                f"the images of the model have version {state.get('version')!r}; this tuner reads version 1"
            )
        channels, height, width = state["shape"]
        return cls(
            where="the model",
            parts={},
            target=Target.from_json(state["target"]),
            shape=(channels, height, width),
            from_files=state.get("from_files", bool(state["column"])),  # older models do not say it
            column=state["column"],
            highest=state["highest"],
            fractions=state["fractions"],
            means=tuple(state["means"]),
            deviations=tuple(state["deviations"]),
            unreadable=0,
            notes=(),
        )


def prepare_images(data: ImageData, *, task: str, seed: int) -> PreparedImages:
    """Return the images of a study file's ``[data]``; a random split depends on ``seed`` alone.

    Raises:
        DataError: when they cannot be used, with one line that names the folder or file and the remedy.
    """
    notes: list[str] = []
    collected = collect(data, notes)
    where = collected.rows.where
    if collected.rows.targets == [CLASS] and task != "classification":
        if task == "regression":
            raise UsageError(f"{where}: task = 'regression', but the names of folders are classes")
        task = "classification"  # whatever the names look like
    if collected.pixels is None:
        gallery = read_files(collected.files, data, where=where, notes=notes)
    else:
        gallery = read_arrays(collected.pixels, data, where=where, notes=notes)
    collected = _without_unreadable(collected, gallery, notes)
    _note_repeats(gallery.pixels, collected, notes)
    labelled = split_labelled(collected.rows, collected.others, data, task=task, seed=seed, notes=notes)
    parts = {
        part: PreparedPart(
            pixels=gallery.pixels[rows.frame[NUMBER].to_numpy()],
            targets=labelled.target.encode(rows.frame, where=rows.where),
        )
        for part, rows in labelled.parts.items()
    }
    training = parts["training"].pixels
    means, deviations = statistics(training)
    channels, height, width = training.shape[1:]
    return PreparedImages(
        where=where,
        parts=parts,
        target=labelled.target,
        shape=(channels, height, width),
        from_files=collected.pixels is None,
        column=collected.column,
        highest=float(training.max()),
        fractions=training.dtype != np.uint8,
        means=means,
        deviations=deviations,
        unreadable=len(gallery.unreadable),
        notes=tuple(notes),
    )


def statistics(pixels: Pixels) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel of images ``[N, C, H, W]``; a deviation of 0 counts as 1."""
    origin = pixels[0].mean((1, 2), dtype=np.float64)  # near the mean: squares of what is left lose no digits
    total, squares = np.zeros_like(origin), np.zeros_like(origin)
    block = max(1, SUMMED_NUMBERS // pixels[0].size)
    for start in range(0, len(pixels), block):
        values = pixels[start : start + block].astype(np.float64) - origin[:, None, None]
        total += values.sum((0, 2, 3))
        squares += np.square(values).sum((0, 2, 3))
    count = pixels.size / len(origin)
    deviations = np.sqrt(np.maximum(0.0, squares / count - np.square(total / count)))
    return tuple((origin + total / count).tolist()), tuple(np.where(deviations > 0, deviations, 1.0).tolist())


def _without_unreadable(collected: Collected, gallery: Gallery, notes: list[str]) -> Collected:
    """Return the rows whose images could be read, and note which could not.

    Raises:
        DataError: when more than half could not.
    """
    if not gallery.unreadable:
        return collected
    count, of = len(gallery.unreadable), len(gallery.pixels)
    first = list(gallery.unreadable.items())[:NAMED]
    named = ", ".join(f"{_name(collected, number)} ({reason})" for number, reason in first)
    said = f"{count} of {of} image{'s' * (of > 1)} cannot be read: {named}{', …' if count > NAMED else ''}"
    if count * 2 > of:
        raise DataError(f"{collected.rows.where}: {said}; mend or remove them")
    notes.append(f"{said}; {'they are' if count > 1 else 'it is'} skipped")
    gone = pl.Series(list(gallery.unreadable))

    def kept(rows: Rows) -> Rows:
        left = rows.frame.filter(~pl.col(NUMBER).is_in(gone.implode()))
        if not left.height:
            raise DataError(f"{rows.where}: none of its images can be read")
        return replace(rows, frame=left)

    return replace(
        collected,
        rows=kept(collected.rows),
        others={part: kept(rows) for part, rows in collected.others.items()},
    )


def _name(collected: Collected, number: int) -> str:
    return collected.names[number] or "an empty path" if collected.names else f"image {number}"


def _note_repeats(pixels: Pixels, collected: Collected, notes: list[str]) -> None:
    """Tell of images that occur twice: one may train and the other score."""
    numbers = [number for rows in (collected.rows, *collected.others.values()) for number in rows.frame[NUMBER]]
    repeated = len(numbers) - len({hash(pixels[number].tobytes()) for number in numbers})
    if repeated:
        said = "1 image repeats" if repeated == 1 else f"{repeated} images repeat"
        notes.append(f"{said} an earlier one; an image and its repeat may be in different parts")
