"""From the ``[data]`` of a study file to rows that each have an image: class folders, tables of paths, arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from objectives.images import arrays, datasets, files
from objectives.images.options import ImageData
from objectives.tables.labelled import Rows, known_rows, listed, read_others, read_rows, require_column
from objectives.tables.options import as_list
from tuner.errors import DataError
from tuner.sections import nearest

NUMBER = "image number"
"""The column that says which image a row is about."""
CLASS = "class"
"""The column of what the class folders are called."""


@dataclass(frozen=True, kw_only=True)
class Collected:
    """Rows, and the images they are about: files that are yet to be read, or arrays."""

    rows: Rows
    others: dict[str, Rows]
    """Parts that are given and not drawn."""
    files: Sequence[Path] = ()
    names: Sequence[str] = ()
    """What to call the files in messages."""
    column: str = ""
    """Where a table names the files: in which column."""
    pixels: NDArray[Any] | None = None
    """``[N, C, H, W]``, where the images are arrays."""


def collect(data: ImageData, notes: list[str]) -> Collected:
    """Return the images that a study file speaks of, and what is known of each.

    Raises:
        DataError: when there are none, or nothing says what they show.
    """
    if not data.source:
        raise DataError(f"[data]: source is missing; name a folder, a file or one of {', '.join(datasets.NAMES)}")
    path = Path(data.source).expanduser()
    if data.source in datasets.NAMES and not path.is_file():
        return _built_in(data, notes)
    if path.is_dir():
        return _from_folder(path, data, notes)
    if "." not in data.source and not path.exists():
        hint = nearest(data.source, datasets.NAMES) or f"; built in: {', '.join(datasets.NAMES)}"
        raise DataError(f"{data.source}: no such folder or file and no built-in data set{hint}")
    if path.suffix.lower() in (".npz", ".npy"):
        return _from_arrays(path, data, notes)
    if files.is_image(path):
        raise DataError(f"{path.name}: is one image; name a folder of class folders, or a table of paths and labels")
    return _from_table(path, data, notes)


def _built_in(data: ImageData, notes: list[str]) -> Collected:
    pixels, columns, targets = datasets.load_built_in(data.source)
    frame = pl.DataFrame({NUMBER: np.arange(len(pixels)), **columns})
    rows = Rows(where=data.source, frame=frame, targets=as_list(data.target) or targets)
    return Collected(rows=known_rows(rows, data, notes), others={}, pixels=pixels)


def _from_folder(folder: Path, data: ImageData, notes: list[str]) -> Collected:
    where = folder.resolve().name
    found = files.find_images(folder)
    for key in ("validation_file", "test_file", "split_column", "groups", "image_column", "image_folder"):
        if getattr(data, key):
            raise DataError(
                f"{where}: {key} is for tables; class folders may lie in train, validation and test folders"
            )
    if as_list(data.target) not in ([], [CLASS]):
        raise DataError(f"{where}: the names of class folders are the target; leave target out")
    _require_images(found, folder, where)
    _note_folders(found, folder, notes)
    frame = pl.DataFrame({NUMBER: np.arange(len(found.paths)), CLASS: list(found.labels)})
    parts = np.array(found.parts)
    others = {
        part: Rows(where=f"{where} ({part})", frame=frame.filter(parts == part), targets=[CLASS])
        for part in ("validation", "test")
        if (parts == part).any()
    }
    rows = Rows(where=where, frame=frame.filter(~np.isin(parts, list(others))), targets=[CLASS])
    names = [str(path.relative_to(folder)) for path in found.paths]
    return Collected(rows=rows, others=others, files=found.paths, names=names)


def _require_images(found: files.ClassFolders, folder: Path, where: str) -> None:
    if found.paths:
        return
    if found.loose:
        raise DataError(
            f"{where}: holds {found.loose} images, but no class folders; put those of each class into a folder "
            "of its name, or name a table of paths and labels"
        )
    tables = sorted(
        path.name for path in folder.iterdir() if path.suffix.lower() in (".csv", ".tsv", ".npz", ".parquet")
    )
    hint = f"; if it is described by {tables[0]}, name that file" if tables else ""
    kinds = ", ".join(sorted({path.suffix or path.name for path in found.others})[:5])
    held = f"files of other kinds ({kinds})" if kinds else "no image"
    raise DataError(f"{where}: its folders hold {held}; images end in .png, .jpg and the like{hint}")


def _note_folders(found: files.ClassFolders, folder: Path, notes: list[str]) -> None:
    if found.empty:
        notes.append(f"no image is in {_some(found.empty, folder)}")
    if found.others:
        count = f"{len(found.others)} file{'s' * (len(found.others) > 1)}"
        notes.append(f"{count} in class folders {'are' if len(found.others) > 1 else 'is'} no image: "
                     f"{_some(found.others, folder)}")  # fmt: skip
    if found.loose:
        notes.append(f"{found.loose} image{'s' * (found.loose > 1)} outside class folders not used")
    if found.unused:
        notes.append(f"beside the folders of parts, not used: {_some(found.unused, folder)}")


def _some(paths: Sequence[Path], folder: Path) -> str:
    more = f", … ({len(paths)} in all)" if len(paths) > 5 else ""
    return ", ".join(f"'{path.relative_to(folder)}'" for path in paths[:5]) + more


def _from_arrays(path: Path, data: ImageData, notes: list[str]) -> Collected:
    where = path.name
    if data.validation_file or data.test_file:
        raise DataError(
            f"{where}: validation_file and test_file are for tables; an NPZ file may hold x_train, x_test, …"
        )
    found = arrays.read_arrays(path, as_list(data.target))
    whole = found.pop("", None) or found.pop("training")
    parts = {"": whole, **found}
    pixels = [arrays.channels_first(part.inputs, data.layout, where=where) for part in parts.values()]
    if len({part.shape[1:] for part in pixels}) > 1:
        raise DataError(f"{where}: the images of its parts differ in shape; make them one")
    rows, start = {}, 0
    for name, part in parts.items():
        numbers = np.arange(start, start + len(part.inputs))
        start += len(part.inputs)
        frame = pl.DataFrame({NUMBER: numbers, **part.columns})
        rows[name] = known_rows(Rows(where=where, frame=frame, targets=list(whole.targets)), data, notes)
    together: NDArray[Any] = pixels[0] if len(pixels) == 1 else np.concatenate(pixels)
    return Collected(rows=rows.pop(""), others=rows, pixels=together)


def _from_table(path: Path, data: ImageData, notes: list[str]) -> Collected:
    rows = read_rows(data, notes)
    column = image_column(rows, data.image_column)
    others = read_others(rows, data, notes)
    tables = {"": path, "validation": Path(data.validation_file), "test": Path(data.test_file)}
    numbered: dict[str, Rows] = {}
    names: list[str] = []
    paths: list[Path] = []
    for part, its in {"": rows, **others}.items():
        numbers = pl.Series(NUMBER, np.arange(its.frame.height) + len(names))
        numbered[part] = replace(its, frame=its.frame.with_columns(numbers))
        folder = Path(data.image_folder or tables[part].parent).expanduser()
        written = ["" if name is None else str(name) for name in its.frame[column].to_list()]
        names += written
        paths += [folder / name for name in written]
    return Collected(rows=numbered.pop(""), others=numbered, files=paths, names=names, column=column)


def image_column(rows: Rows, written: str) -> str:
    """Return the column of paths: the one ``written``, or the one that holds them.

    Raises:
        DataError: when there is none of that name, or none or several hold paths.
    """
    if written:
        require_column(written, rows, "column (image_column)")
        return written
    others = rows.frame.drop(rows.targets)
    holding = [series.name for series in others if series.dtype == pl.String and _are_paths(series)]
    if len(holding) != 1:
        said = f"columns {', '.join(map(repr, holding))} hold" if holding else "no column holds"
        raise DataError(f"{rows.where}: {said} paths of images; write image_column = …; {listed(rows.frame.columns)}")
    return holding[0]


def _are_paths(series: pl.Series) -> bool:
    """Whether most texts are images by their names."""
    texts = series.drop_nulls().head(1000).to_list()
    return sum(files.is_image(Path(text)) for text in texts) * 2 > len(texts)
