from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tuner import studies
from tuner.models.keeping import KeptModel, keep
from tuner.results import Results

SPACE: dict[str, Any] = {
    "tokenizer": "character", "vocabulary": 200, "max_length": 12, "depth": 1, "heads": 2, "head_width": 4,
    "feed_forward": 1, "positions": "learned", "dropout": 0.0, "batch_size": 16, "learning_rate": 5e-3,
    "schedule": "constant",
}  # fmt: skip
WORDS = [f"{a}{b}{c}{a}" for a in "aeiou" for b in "klmnp" for c in "rstz"]
"""Each begins and ends with the same letter: that is to be found out."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A file with a word on each line."""
    path = tmp_path / "words.txt"
    path.write_text("\n".join(WORDS) + "\n")
    return path


def pretraining(folder: Path, source: Path | str, **tables: Any) -> Results:
    """A small study of pre-training."""
    values: dict[str, Any] = {
        "name": "words",
        "objective": {"name": "pretraining"},
        "data": {"source": str(source)},
        "space": SPACE,
        "training": {"epochs": 2},
        "budget": {"trials": 1},
    }
    return studies.create(folder, **values | tables)


@pytest.fixture
def kept(tmp_path: Path, words: Path) -> KeptModel:
    """A model that was pre-trained on the words, and kept under the name ``words``."""
    results = pretraining(tmp_path, words)
    studies.work(results)
    return keep(results)
