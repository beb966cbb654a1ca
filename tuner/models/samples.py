"""New samples that a trained network is to answer, as its objective read them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.errors import DataError

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray
    from torch import Tensor

    from tuner.training.data import Feed

STDIN = Path("-")
"""The name under which data comes by a pipe."""
NPY = b"\x93NUMPY"
"""An NPY file begins with it."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """One sample for each row of the data, in its order: where a row cannot be read, something in its place."""

    where: str
    """What to call the data in messages."""
    feeds: tuple[Feed, ...]
    """What the network is called with."""
    faults: dict[int, str] = field(default_factory=dict)
    """Row → why it gets no answer. A source may add to it while it is read."""
    labelled: Sequence[int] = ()
    """The rows of which the data itself says what is right."""
    targets: Tensor | None = None
    """What is right for them, in their order, as the network learns it."""
    names: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Columns that stand before the answers, for without them nobody knows which row is which: the paths of files."""
    columns: pl.DataFrame | None = None
    """What else the data holds, row by row."""
    notes: Sequence[str] = ()
    """What a person should know."""
    warnings: Sequence[str] = ()
    """What even one who asks for quiet should know: the answers may mean nothing."""
    most: int = 1024
    """So many samples may be shown to the network at once."""
    alike: bool = False
    """Whether every network that was kept with the same files sees them so, whatever else its hyperparameters are."""
    reading: Callable[[], AbstractContextManager[None]] = nullcontext
    """What is entered while sources are read."""

    def __len__(self) -> int:
        return len(self.feeds[0])


def held(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """Return what a kept model's JSON file says.

    Raises:
        DataError: when the model has no such file, as those that other versions of tuner kept.
    """
    if name not in files:
        raise DataError(f"the model has no {name}: another version of tuner kept it; keep its trial again")
    state: dict[str, Any] = json.loads(files[name])
    return state


def named(path: Path) -> str:
    """Return what to call the data of a path in messages."""
    return "standard input" if path == STDIN else path.name


def content(path: Path) -> bytes:
    """Return what a file holds, or what comes on standard input or by another pipe."""
    if _pipes is None or (path != STDIN and path.is_file()):
        return _read(path)
    if path not in _pipes:
        _pipes[path] = _read(path)
    return _pipes[path]


def _read(path: Path) -> bytes:
    return sys.stdin.buffer.read() if path == STDIN else path.read_bytes()


_pipes: dict[Path, bytes] | None = None


@contextmanager
def pipes_read_once() -> Iterator[None]:
    """Inside, what comes by a pipe is read once, and is there for all who ask for it."""
    global _pipes  # noqa: PLW0603 - as standard input itself, it is the process's
    _pipes = {}
    try:
        yield
    finally:
        _pipes = None


def plain_array(path: Path) -> NDArray[Any]:
    """Return the array of an NPY file.

    Raises:
        DataError: when there is no such file, it is none, or it holds Python objects, which are never loaded.
    """
    import numpy as np

    try:
        with path.open("rb") as file:
            if file.read(len(NPY)) != NPY:
                raise DataError(f"{path.name}: is no NPY file; save the array with numpy.save")
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError):
        raise DataError(f"{path.name}: cannot be read as a plain NumPy array") from None
    return array


def plain_samples(take: Callable[[Any], tuple[Tensor, ...]], data: Any) -> Samples:
    """Return an array, a DataFrame of numbers, or a CSV or NPY file of them, as ``take`` makes inputs of an array.

    Raises:
        DataError: when there is something else in it.
    """
    import numpy as np

    if isinstance(data, Path):
        where, array, columns = named(data), *_file_of_numbers(data)
    else:
        array = data.to_numpy() if hasattr(data, "to_numpy") else np.asarray(data)
        where, columns = "the data", None
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where}: holds {array.dtype} values, not numbers")
    if not array.ndim or not len(array):
        raise DataError(f"{where}: holds no row")
    strange = ~np.isfinite(array.reshape(len(array), -1)).all(1) if array.dtype.kind == "f" else np.zeros(len(array))
    faults = {int(row): "holds a value that is missing or not finite" for row in np.flatnonzero(strange)}
    if faults:
        array = array.copy()
        array[list(faults)] = 0
    return Samples(where=where, feeds=take(array), faults=faults, columns=columns)


def _file_of_numbers(path: Path) -> tuple[NDArray[Any], pl.DataFrame | None]:
    import polars as pl

    name, suffix = named(path), path.suffix.lower()
    if path != STDIN and (path.is_dir() or not path.exists()):
        raise DataError(f"{path}: {'is a folder; name a file' if path.is_dir() else 'no such file'}")
    if suffix == ".npy":
        return plain_array(path), None
    if suffix not in (".csv", ""):
        raise DataError(f"{path.name}: this objective reads new samples from .csv and .npy files of numbers")
    try:
        written = content(path)
        first = written.decode("utf-8-sig").partition("\n")[0]
        frame = pl.read_csv(written, has_header=not all(map(_is_number, first.split(","))), infer_schema_length=None)
    except (UnicodeError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{name}: cannot be read as CSV: {str(error).splitlines()[0]}") from None
    numbers = frame.cast(pl.Float64, strict=False)
    for series in frame:
        lost = series.is_not_null() & numbers[series.name].is_null()
        if lost.any():
            raise DataError(f"{name}: column '{series.name}' holds '{series.filter(lost)[0]}', which is no number")
    return numbers.to_numpy(), frame


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
