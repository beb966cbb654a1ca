"""New images, of which a kept network is to say what they show: made as those of training were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from objectives.images import arrays, files
from objectives.images.collecting import CLASS, image_column
from objectives.images.decoding import Fit, Pixels, UnreadableImageError, read_pixels, without_warnings
from objectives.images.options import ImageData
from objectives.images.preparing import PreparedImages
from objectives.images.reading import Gallery, read_arrays
from objectives.tables.labelled import Rows, require_column
from objectives.tables.new_rows import read_new
from tuner.errors import DataError, UsageError
from tuner.models.samples import STDIN, Samples

FILE = "file"
"""The column of the images' paths, where DATA is a folder or an image."""
DARK = 128
"""Where no number of training reached it, the arrays were none of the pixels that files have."""
_BATCH = 256


class KnowsTargets(Protocol):
    """What finds out whether new rows have targets: ``Supervised.known_targets``."""

    def __call__(self, frame: pl.DataFrame, *, where: str, notes: list[str]) -> dict[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class ImageFiles:
    """Images that are read when the network comes to them; zeros, and a word in ``faults``, where one cannot be."""

    paths: Sequence[Path]
    shape: tuple[int, int, int]
    fit: Fit
    faults: dict[int, str]

    def __len__(self) -> int:
        return len(self.paths)

    def gather(self, rows: Tensor) -> Tensor:
        """Return the images of these numbers ``[n]`` as ``[n, C, H, W]``, from 0 to 255."""
        channels, height, width = self.shape
        pixels = np.zeros((len(rows), *self.shape), np.float32)
        for place, row in enumerate(rows.tolist()):
            try:
                pixels[place] = read_pixels(self.paths[row], size=(height, width), coloured=channels == 3, fit=self.fit)
            except (UnreadableImageError, DataError) as error:
                self.faults.setdefault(row, str(error))
        return torch.from_numpy(pixels)


@dataclass(frozen=True, kw_only=True)
class NewImages:
    """Reads new images as those of a model were read."""

    told: ImageData
    """What a person said of those."""
    images: PreparedImages
    known: KnowsTargets

    def read(self, data: Any) -> Samples:
        """Return those of a folder, a table of paths, an image file, an NPZ or NPY file, or of an array in memory.

        Raises:
            DataError: when they are not of the kind that the model learned from, naming the file and the remedy.
            UsageError: for a size and for channels that are not those of the network.
        """
        self._refuse_other_shapes()
        if not isinstance(data, Path):
            table = isinstance(data, pl.DataFrame) or hasattr(data, "iloc")
            return self._table(data, Path()) if table else self._arrays(np.array(data), {}, "the data")
        if data.is_dir():
            return self._folder(data)
        if data != STDIN and not data.exists():
            raise DataError(f"{data}: no such folder or file")
        if data.suffix.lower() in (".npz", ".npy"):
            return self._arrays(*arrays.read_new(data), data.name)
        if files.is_image(data):
            return self._files([data], where=data.name, names={FILE: [data.name]})
        return self._table(data, data.parent)

    def _refuse_other_shapes(self) -> None:
        channels, height, width = self.images.shape
        told = self.told
        if told.wanted_size() not in (None, (height, width)):
            raise UsageError(
                f"data.size = {told.size}: the network sees images of {height} × {width}, and makes new ones so; "
                "leave it out"
            )
        if told.channels != "auto" and channels != {"grey": 1, "colour": 3}[told.channels]:
            raise UsageError(
                f"data.channels = '{told.channels}': the network sees images of {channels} "
                f"channel{'s' * (channels > 1)}, as which new ones are read; leave it out"
            )

    def _folder(self, folder: Path) -> Samples:
        where = folder.resolve().name
        paths = [path for path in sorted(files.images_in(folder)) if path.is_file()]
        if not paths:
            raise DataError(f"{where}: holds no images; they end in .png, .jpg and the like")
        inner = [path.relative_to(folder) for path in paths]
        target, notes = self.images.target, list[str]()
        labels = [next((part for part in path.parts[:-1] if part in target.classes), None) for path in inner]
        frame = pl.DataFrame({CLASS: labels}, schema={CLASS: pl.String})
        named = target.columns == (CLASS,)  # then a folder that has the name of a class says what is right
        return self._files(
            paths,
            where=where,
            names={FILE: [str(path) for path in inner]},
            notes=notes,
            **(self.known(frame, where=where, notes=notes) if named else {}),
        )

    def _table(self, data: Any, folder: Path) -> Samples:
        notes: list[str] = []
        where, frame = read_new(data, self.told, notes)
        column = self._column(where, frame)
        written = ["" if name is None else str(name) for name in frame[column].to_list()]
        given = Path(self.told.image_folder).expanduser() if self.told.image_folder else folder
        return self._files(
            [folder / name if (folder / name).exists() else given / name for name in written],
            where=where,
            faults={row: "an empty path" for row, name in enumerate(written) if not name},
            columns=frame,
            notes=notes,
            **self.known(frame, where=where, notes=notes),
        )

    def _column(self, where: str, frame: pl.DataFrame) -> str:
        """Return the column of paths: as a person said, that of training, else the one that holds them."""
        rows = Rows(where=where, frame=frame, targets=[n for n in self.images.target.columns if n in frame.columns])
        if column := self.told.image_column or self.images.column:
            require_column(column, rows, "column")
            return column
        try:
            return image_column(rows, "")
        except DataError:
            raise DataError(
                f"{where}: the network learned from images; give a folder of them, a table with one column of their "
                "paths, or arrays (.npz, .npy)"
            ) from None

    def _files(
        self, paths: Sequence[Path], *, where: str, faults: dict[int, str] | None = None, **others: Any
    ) -> Samples:
        channels, highest = self.images.shape[0], self.images.highest
        if channels not in (1, 3):
            raise DataError(
                f"{where}: image files are read in grey or in three colours, and the network learned from arrays of "
                f"{channels} channels; give arrays like those (.npz, .npy)"
            )
        if highest < DARK and not self.images.from_files:
            raise DataError(
                f"{where}: holds images of 0 to 255, and the network learned from arrays of no more than {highest:g}; "
                "give arrays like those (.npz, .npy)"
            )
        found = {} if faults is None else faults
        source = ImageFiles(paths=paths, shape=self.images.shape, fit=self.told.fit, faults=found)
        return Samples(
            where=where, feeds=(source,), faults=found, most=_BATCH, alike=True, reading=without_warnings, **others
        )

    def _arrays(self, array: NDArray[Any], columns: Mapping[str, NDArray[Any]], where: str) -> Samples:
        if array.ndim not in (3, 4) or not len(array):
            raise DataError(f"{where}: is an array {list(array.shape)}; images are N × H × W or N × H × W × C")
        notes: list[str] = []
        gallery = self._gallery(array, where, notes)
        frame = pl.DataFrame(dict(columns)) if columns else None
        return Samples(
            alike=True,
            where=where,
            feeds=(torch.from_numpy(gallery.pixels),),
            faults=dict(gallery.unreadable),
            columns=frame,
            most=_BATCH,
            notes=notes,
            **({} if frame is None else self.known(frame, where=where, notes=notes)),
        )

    def _gallery(self, array: NDArray[Any], where: str, notes: list[str]) -> Gallery:
        images = self.images
        channels, height, width = images.shape
        pixels: Pixels = arrays.channels_first(array, self._layout(array), where=where)
        if pixels.shape[1] != channels:
            raise DataError(f"{where}: channels of an image: {pixels.shape[1]}; the network learned from {channels}")
        if pixels.dtype != np.uint8 and images.highest > 2 and pixels.max(initial=0, where=np.isfinite(pixels)) <= 1:
            raise DataError(
                f"{where}: no number is above 1, and the network learned from numbers up to {images.highest:g}; "
                "scale them as those were"
            )
        if images.fractions:
            pixels = pixels.astype(np.float32)
        fixed = self.told.model_copy(update={"size": [height, width], "channels": "auto"})
        return read_arrays(pixels, fixed, where=where, notes=notes)

    def _layout(self, array: NDArray[Any]) -> str:
        """Return the axes: as a person said, else where alone there are as many channels as in training."""
        if self.told.layout == "auto" and array.ndim == 4:
            first, last = (array.shape[axis] == self.images.shape[0] for axis in (1, 3))
            if first != last:
                return "NCHW" if first else "NHWC"
        return self.told.layout
