"""Built-in images: those that come with scikit-learn. Nothing is downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = ("digits", "photo_patches")
"""The built-in data sets that ``source`` may name."""
PATCH = 16
"""Side of a patch of a photo, in pixels."""
BLOCK = 4
"""A block is so many patches wide and high."""


def load_built_in(name: str) -> tuple[NDArray[Any], dict[str, NDArray[Any]], list[str]]:
    """Return images ``[N, C, H, W]``, columns ``[N]`` by name, and the names of those that are targets.

    ``digits`` are 1797 handwritten digits, 8 × 8, grey from 0 to 16. ``photo_patches`` are the patches, side by side,
    of two photos (a temple in China, a flower), coloured; ``photo`` says of which. Patches that touch are alike, so
    ``block`` gives those of one place a number: what is kept together by it keeps a test apart from training.

    Raises:
        KeyError: when there is no such data set.
    """
    import numpy as np

    if name == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        return digits.images[:, None].astype(np.uint8), {"digit": digits.target}, ["digit"]
    if name != "photo_patches":
        raise KeyError(name)
    from sklearn.datasets import load_sample_images

    patches: list[NDArray[Any]] = []
    photos: list[str] = []
    blocks: list[NDArray[Any]] = []
    sample = load_sample_images()
    for file, photo in zip(sample.filenames, sample.images, strict=True):
        rows, columns = photo.shape[0] // PATCH, photo.shape[1] // PATCH
        cut = photo[: rows * PATCH, : columns * PATCH].reshape(rows, PATCH, columns, PATCH, 3)
        patches.append(cut.transpose(0, 2, 4, 1, 3).reshape(-1, 3, PATCH, PATCH))
        photos += [str(file).rpartition("/")[2].removesuffix(".jpg")] * (rows * columns)
        places = np.arange(rows)[:, None] // BLOCK * columns + np.arange(columns) // BLOCK
        blocks.append(places.ravel() + 10_000 * len(blocks))
    return np.concatenate(patches), {"photo": np.array(photos), "block": np.concatenate(blocks)}, ["photo"]
