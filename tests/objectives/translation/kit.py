"""A small language that is spelt backwards, and translations of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from objectives.translation import Translation
from tuner.training import Recipe

PARAMS: dict[str, Any] = {
    "encoder_layers": 1,
    "decoder_layers": 1,
    "heads": 2,
    "head_width": 8,
    "feed_forward": 2,
    "activation": "gelu",
    "dropout": 0.0,
    "positions": "learned",
    "tied": True,
    "shared": False,
    "source_tokenizer": "character",
    "source_vocabulary": 32,
    "target_tokenizer": "word",
    "target_vocabulary": 32,
}
"""A network that trains in a moment."""
SPACE = [f"space.{name}={str(value).lower()}" for name, value in PARAMS.items()]
"""The same as settings of a study."""
RECIPE: dict[str, Any] = {"epochs": 3, "seed": 1, "batch_size": 16, "optimizer": "adam", "learning_rate": 5e-3}


def recipe(**changes: Any) -> Recipe:
    """A recipe for a few quick epochs."""
    return Recipe(**(RECIPE | changes))


def backwards(pairs: int = 200, *, letters: str = "abcdef") -> pl.DataFrame:
    """Words and their letters from the last to the first, with spaces between: ``abc`` and ``c b a``."""
    generator = np.random.default_rng(0)
    words = {"".join(generator.choice(list(letters), generator.integers(2, 6))) for _ in range(3 * pairs)}
    chosen = sorted(words)[:: max(1, len(words) // pairs)][:pairs]
    return pl.DataFrame({"word": chosen, "backwards": [" ".join(reversed(word)) for word in chosen]})


def translation(folder: Path, frame: pl.DataFrame | None = None, **settings: Any) -> Translation:
    """A translation of the frame's two columns; ``options`` are those of ``[objective]``, others of ``[data]``."""
    file = folder / "pairs.csv"
    (backwards() if frame is None else frame).write_csv(file)
    options = settings.pop("options", {})
    seed = settings.pop("seed", 0)
    data = {"source": str(file), "target": "backwards", **settings}
    return Translation(Translation.Options(**options), Translation.Data(**data), seed=seed)
