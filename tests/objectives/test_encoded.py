"""Encodings of a data set: made once, kept while they are in use, let go when memory is short."""

import gc

import pytest
import torch

from objectives import encoded
from objectives.encoded import Encoded
from tuner.training import Dataset, Part


class Making:
    """Makes data sets of 100 numbers and as many targets, and counts them."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def __call__(self, key: str) -> Dataset:
        self.made.append(key)
        part = Part(inputs=(torch.zeros(100),), targets=torch.zeros(100))
        return Dataset(training=part, validation=part)


def test_an_encoding_is_made_once() -> None:
    making = Making()
    encodings = Encoded(making)

    first = encodings.of("words")

    assert encodings.of("characters") is not first
    assert encodings.of("words") is first
    assert making.made == ["words", "characters"]


def test_when_memory_is_short_those_asked_for_last_and_those_in_use_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    making = Making()
    encodings = Encoded(making)
    monkeypatch.setattr(encoded, "KEPT_BYTES", 2 * 1600)  # two of them: 2 parts of 200 numbers of 4 bytes each
    used = encodings.of("used")
    for key in ("a", "b", "c"):
        encodings.of(key)
    gc.collect()
    making.made.clear()

    assert encodings.of("used") is used
    encodings.of("c")
    assert making.made == []
    encodings.of("a")
    assert making.made == ["a"]
