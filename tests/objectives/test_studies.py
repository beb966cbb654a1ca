"""The built-in study files are valid, readable and about the data sets of their names."""

from __future__ import annotations

import re

import pytest

from objectives.tables import Table
from objectives.tables.datasets import NAMES
from tuner import study_file
from tuner.loading import LoadedTrainable, load_objective
from tuner.spec import parse_spec


def test_there_is_a_study_for_every_built_in_data_set() -> None:
    assert set(NAMES) <= set(study_file.built_in_names())


@pytest.mark.parametrize("name", NAMES)
def test_a_built_in_study_is_a_valid_study_of_its_data_set(name: str) -> None:
    values, where = study_file.read(name)
    spec = parse_spec(values, where=where)
    loaded = load_objective(spec, where=where)
    assert isinstance(loaded, LoadedTrainable)
    assert isinstance(loaded.trainable, Table)
    data = loaded.trainable.load()
    assert spec.name == loaded.trainable.describe()["source"] == name
    assert data.test is not None
    assert loaded.trainable.metric_names() == [spec.objective["metric"]]
    network = loaded.trainable.network(
        {"depth": 1, "width": 8, "activation": "relu", "dropout": 0, "normalization": "none"}
    )
    assert network(*data.validation.inputs).isfinite().all()
    assert {"learning_rate", "depth", "width", "optimizer", "batch_size", "l1", "l2"} <= set(loaded.space.searched)


@pytest.mark.parametrize("name", NAMES)
def test_a_built_in_study_explains_itself(name: str) -> None:
    text = study_file.read_text(name)
    assert text.startswith("# ")
    assert re.search(r"\d+ rows|of \d+ ", text.splitlines()[0])
    assert max(map(len, text.splitlines())) <= 120
