"""Images that are arrays: NPZ and NPY files, their axes, and the labels that come with them."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives.parts import PART_OF
from tuner.errors import DataError
from tuner.models.samples import plain_array
from tuner.sections import nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INPUTS = ("x", "images", "image", "data", "inputs", "input", "pixels", "arr_0")
TARGETS = ("y", "labels", "label", "targets", "target", "classes", "class", "arr_1")
COMMON_CHANNELS = (1, 3, 4)
_PART = "|".join(map(re.escape, PART_OF))
_NAME = re.compile(rf"^(?:({_PART})_)?(.+?)(?:_({_PART}))?$", re.I)
"""How an array says what part it is for: x_train, test_images."""


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """One part's images and what is known of each."""

    inputs: NDArray[Any]
    """As they are in the file."""
    columns: Mapping[str, NDArray[Any]]
    """Arrays ``[N]`` by name: targets, groups, …"""
    targets: Sequence[str]
    """The names of the targets."""


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays in a file, without reading them; nothing where it cannot be read."""
    from numpy.lib import format as npy

    def shape(file: Any) -> tuple[int, ...]:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        return tuple(read(file)[0])

    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                return {path.stem: shape(file)}
        found = {}
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    found[name.removesuffix(".npy")] = shape(member)
        return found
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError):
        return {}


def hold_images(found: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether arrays of these shapes are images and not a table: the inputs have three axes or more."""
    tables = [name for name, shape in found.items() if _named(name, INPUTS) and len(shape) == 2]
    return not tables and any(len(shape) in (3, 4) and min(shape) > 0 for shape in found.values())


def read_arrays(path: Path, target: Sequence[str]) -> dict[str, Arrays]:
    """Return what an NPZ or NPY file holds, by part; by the part ``""`` where the file names none.

    Raises:
        DataError: when it holds no images, or images and targets do not agree.
    """
    where = path.name
    arrays = _load(path) if path.suffix.lower() == ".npz" else _load_beside(path, target)
    if path.suffix.lower() == ".npy":
        target = [name for name in arrays if name != path.stem]  # what lies beside it was named
    inputs = {name: array for name, array in arrays.items() if array.ndim in (3, 4) and name not in target}
    by_part: dict[str, list[str]] = {}
    for name in inputs:
        by_part.setdefault(_part(name), []).append(name)
    if not inputs:
        raise DataError(
            f"{where}: no array has the axes of images (N × H × W × C or N × H × W); it holds {_listed(arrays)}"
        )
    found = {}
    for part, names in by_part.items():
        name = _only(names, part, where)
        if not len(inputs[name]):
            raise DataError(f"{where}: array '{name}' {_shape(inputs[name])} holds no image")
        same_part = {other: array for other, array in arrays.items() if _part(other) == part and other not in inputs}
        found[part] = _with_targets(name, inputs[name], same_part, target, where)
    if "" not in found and "training" not in found:
        raise DataError(f"{where}: no array is for training; it holds {_listed(arrays)}")
    return found


def read_new(path: Path) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """Return the images of a file that is not learned from, and what else it holds for each of them, as columns.

    Raises:
        DataError: when it holds no images.
    """
    where = path.name
    held = _load(path) if path.suffix.lower() == ".npz" else {path.stem: plain_array(path)}
    inputs = {name: array for name, array in held.items() if array.ndim in (3, 4)}
    if not inputs:
        raise DataError(
            f"{where}: no array has the axes of images (N × H × W × C or N × H × W); it holds {_listed(held)}"
        )
    images = inputs[_only(list(inputs), "", where)]
    others = {name: array for name, array in held.items() if name not in inputs and array.ndim}
    columns: dict[str, NDArray[Any]] = {}
    for name, array in others.items():
        if len(array) == len(images):
            columns |= _columns(_base(name), array)
    return images, columns


def _with_targets(
    name: str, inputs: NDArray[Any], others: Mapping[str, NDArray[Any]], target: Sequence[str], where: str
) -> Arrays:
    """The images of one part with the arrays that go with them."""
    columns: dict[str, NDArray[Any]] = {}
    of_array: dict[str, list[str]] = {}
    wanted = [_base(one) for one in target] or _called_like_targets(others)
    for other, array in others.items():
        base = _base(other)
        if array.ndim and len(array) == len(inputs) and (array.ndim == 1 or base in wanted):
            of_array[base] = list(made := _columns(base, array))
            columns |= made
        elif base in wanted:
            raise DataError(
                f"{where}: '{name}' has {len(inputs)} images and '{other}' is {_shape(array)}; they must agree"
            )
    for base in wanted:
        if base not in of_array:
            hint = nearest(base, of_array) or f"; beside '{name}' it holds {_listed(others)}"
            raise DataError(f"{where}: no array '{base}' with a value for each image{hint}")
    if not wanted:
        raise DataError(
            f"{where}: which array holds the labels? write --target NAME (target = … in a study file); "
            f"beside '{name}' it holds {_listed(others)}"
        )
    return Arrays(inputs=inputs, columns=columns, targets=[column for base in wanted for column in of_array[base]])


def _called_like_targets(arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    """The array that is called what targets are called, if there is one."""
    bases = {_base(name).lower(): _base(name) for name in arrays}
    return [bases[name] for name in TARGETS if name in bases][:1]


def _columns(name: str, array: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """An array ``[N]`` or ``[N, T]`` as columns; one-hot rows are the classes they stand for."""
    import numpy as np

    flat = array.reshape(len(array), -1)
    if flat.shape[1] == 1:
        return {name: flat[:, 0]}
    if flat.dtype.kind in "biuf" and np.isin(flat, (0, 1)).all() and (flat.sum(1) == 1).all():
        return {name: flat.argmax(1)}
    return {f"{name} {i}": flat[:, i] for i in range(flat.shape[1])}


def _load(path: Path) -> dict[str, NDArray[Any]]:
    import numpy as np

    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                raise DataError(f"{path.name}: is no NPZ file; save images and labels with numpy.savez")
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, NotImplementedError, RuntimeError):
        raise DataError(f"{path.name}: cannot be read as NumPy arrays; save them with numpy.savez") from None
    except ValueError as error:
        reason = "it holds Python objects, which are never loaded" if "allow_pickle" in str(error) else str(error)
        raise DataError(f"{path.name}: cannot be read: {reason}; save plain number or text arrays") from None


def _load_beside(path: Path, target: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The array of an NPY file, and that of the file beside it that holds the labels."""
    if target:
        beside = [path.parent / (name if name.endswith(".npy") else f"{name}.npy") for name in target]
    else:
        stems = [*TARGETS, *(f"{path.stem}_{name}" for name in TARGETS), *(f"{path.stem}-{name}" for name in TARGETS)]
        named = {stem.lower(): path.parent / f"{stem}.npy" for stem in stems}
        there = {file.stem.lower(): file for file in path.parent.glob("*.npy") if file != path}
        beside = [there[stem] for stem in named if stem in there][:1]
    if not beside:
        raise DataError(f"{path.name}: where are the labels? put them beside it as y.npy, or write target = 'FILE.npy'")
    return {path.stem: plain_array(path)} | {file.stem: plain_array(file) for file in beside}


def _only(names: list[str], part: str, where: str) -> str:
    if len(names) == 1:
        return names[0]
    known = sorted((name for name in names if _named(name, INPUTS)), key=lambda name: INPUTS.index(_base(name).lower()))
    if not known:
        listed = ", ".join(f"'{name}'" for name in names)
        of = f" for {part}" if part else ""
        raise DataError(f"{where}: several arrays may be the images{of}: {listed}; call one of them 'X'")
    return known[0]


def _named(name: str, known: Sequence[str]) -> bool:
    return _base(name).lower() in known


def _base(name: str) -> str:
    """The name of an array without the part it is for: x of x_train."""
    found = _NAME.match(name)
    return found[2] if found else name


def _part(name: str) -> str:
    found = _NAME.match(name)
    word = (found[1] or found[3] or "") if found else ""
    return PART_OF.get(word.lower(), "")


def _listed(arrays: Mapping[str, NDArray[Any]]) -> str:
    return ", ".join(f"'{name}' {_shape(array)}" for name, array in arrays.items()) or "nothing"


def _shape(array: NDArray[Any]) -> str:
    return f"[{', '.join(map(str, array.shape))}]"


def channels_first(array: NDArray[Any], layout: str, *, where: str) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Return images ``[N, C, H, W]``: whole numbers from 0 to 255 as uint8, all others as float32.

    Raises:
        DataError: when the axes can be read in two ways, or do not fit ``layout``.
    """
    import numpy as np

    layout = _layout(array, layout, where)
    if layout == "NHW":
        array = array[:, None]
    elif layout == "NHWC":
        array = array.transpose(0, 3, 1, 2)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where}: the images are of type {array.dtype}; save numbers")
    if array.dtype.kind == "b" or _is_whole(array):
        return np.ascontiguousarray(array, dtype=np.uint8)
    return np.ascontiguousarray(array, dtype=np.float32)


def _is_whole(array: NDArray[Any]) -> bool:
    import numpy as np

    if array.dtype == np.uint8:
        return True
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 255):  # NaN is neither
        return False
    return array.dtype.kind != "f" or bool(high > 1 and (array == np.rint(array)).all())


def _layout(array: NDArray[Any], wanted: str, where: str) -> str:
    if array.ndim == 3:
        if wanted not in ("auto", "NHW"):
            raise DataError(f"{where}: layout = '{wanted}', but the images {_shape(array)} have three axes")
        return "NHW"
    if wanted == "NHW":
        raise DataError(f"{where}: layout = 'NHW', but the images {_shape(array)} have four axes")
    if wanted != "auto":
        return wanted
    _, first, middle, last = array.shape
    channels_last = (last in COMMON_CHANNELS, first == middle != last)
    channels_first = (first in COMMON_CHANNELS, middle == last != first)
    if channels_last == channels_first:
        raise DataError(f"{where}: which axis of {_shape(array)} counts the channels? write layout = 'NHWC' or 'NCHW'")
    return "NHWC" if channels_last > channels_first else "NCHW"
