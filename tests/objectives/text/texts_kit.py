"""Texts for the tests, written to files as people have them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import polars as pl

from objectives.text import Text
from tuner.sections import validate

_GOOD = ["wonderful", "delightful", "superb", "charming", "great"]
_BAD = ["dreadful", "tedious", "awful", "clumsy", "poor"]
_THINGS = ["film", "plot", "ending", "music", "acting", "book", "story", "camera"]


def reviews(rows: int = 120, *, seed: int = 0) -> pl.DataFrame:
    """Short reviews: what they say, whether they are good, and how many stars they give."""
    chance = random.Random(seed)
    texts, sentiments, stars = [], [], []
    for row in range(rows):
        good = chance.random() < 0.5
        words = _GOOD if good else _BAD
        texts.append(
            f"The {chance.choice(_THINGS)} was {chance.choice(words)} and the {chance.choice(_THINGS)} "
            f"{chance.choice(words)}; I saw it on day {row}."
        )
        sentiments.append("good" if good else "bad")
        stars.append(3.0 + (1.5 if good else -1.5) + round(chance.gauss(0, 0.2), 2))
    return pl.DataFrame({"review": texts, "sentiment": sentiments, "stars": stars})


def make_text(options: dict[str, Any] | None = None, *, seed: int = 0, **data: Any) -> Text:
    """Return texts as a study file with these ``[data]`` keys would make them, not yet loaded."""
    checked = validate(Text.Options, options or {}, where="study.toml [objective]")
    return Text(checked, validate(Text.Data, data, where="study.toml [data]"), seed=seed)


def write_reviews(folder: Path, rows: int = 120) -> str:
    """Write reviews as a CSV file and return its path."""
    path = folder / "reviews.csv"
    reviews(rows).write_csv(path)
    return str(path)


def params(**changed: Any) -> dict[str, Any]:
    """Return a trial's hyperparameters: a small Transformer that reads words."""
    return {
        "learning_rate": 0.01,
        "network": "transformer",
        "depth": 1,
        "heads": 2,
        "head_width": 4,
        "feed_forward": 2,
        "activation": "gelu",
        "dropout": 0.0,
        "positions": "sinusoidal",
        "pooling": "mean",
        "width": 8,
        "tokenizer": "word",
        "vocabulary": 200,
        "lowercase": False,
        "max_length": None,
        "optimizer": "adam",
        "batch_size": 16,
        "schedule": "constant",
        "l1": 0.0,
        "l2": 0.0,
        "weight_decay": 0.0,
        "data_fraction": 1.0,
        "gradient_clip": 1.0,
        "beta1": 0.9,
        "beta2": None,
        **changed,
    }
