"""Small images for the tests, written to files as people have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from objectives.images import Image
from tuner.sections import validate

CLASSES = ("dots", "stripes")

PARAMS: dict[str, Any] = {
    "depth": 2,
    "width": 4,
    "growth": 2.0,
    "kernel": 3,
    "activation": "relu",
    "normalization": "none",
    "pooling": "max",
    "head": "average",
    "dropout": 0.0,
    "flip": False,
    "shift": 0.0,
    "rotation": 0.0,
    "zoom": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
}


def picture(label: str, number: int, *, side: int = 12) -> NDArray[np.uint8]:
    """Return noise ``[side, side, 3]`` with bright rows, or with bright dots, by its label."""
    pixels = np.random.default_rng(number + 1000 * (label == "dots")).integers(0, 80, (side, side, 3))
    pixels[(slice(None, None, 4), slice(None, None, 4)) if label == "dots" else slice(None, None, 4)] += 150
    return pixels.astype(np.uint8)


def class_folders(
    folder: Path, *, count: int = 10, side: int = 12, mode: str = "RGB", suffix: str = ".png", first: int = 0
) -> Path:
    """Write ``count`` images of each class into folders of their names; return the folder."""
    for label in CLASSES:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            image = Pillow.fromarray(picture(label, number, side=side)).convert(mode)
            image.save(folder / label / f"{number:03}{suffix}")
    return folder


def make_images(options: dict[str, Any] | None = None, *, seed: int = 0, **data: Any) -> Image:
    """Return images as a study file with these ``[data]`` keys would make them, not yet loaded."""
    checked = validate(Image.Options, options or {}, where="study.toml [objective]")
    return Image(checked, validate(Image.Data, data, where="study.toml [data]"), seed=seed)
