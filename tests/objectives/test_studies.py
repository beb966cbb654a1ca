"""The built-in study files are valid, readable and about the data sets of their names."""

from __future__ import annotations

import re

import pytest
from optuna.trial import FixedTrial

from objectives.images import datasets as images
from objectives.tables import Table
from objectives.tables.datasets import NAMES
from tuner import study_file
from tuner.loading import LoadedTrainable, load_objective
from tuner.spec import parse_spec
from tuner.tryout import usual_configuration


def built_in(name: str) -> LoadedTrainable:
    values, where = study_file.read(name)
    loaded = load_objective(parse_spec(values, where=where), where=where)
    assert isinstance(loaded, LoadedTrainable)
    return loaded


def test_there_is_a_study_for_every_built_in_data_set() -> None:
    assert set(study_file.built_in_names()) >= set(NAMES)
    sources = {study_file.read(name)[0]["data"].get("source") for name in study_file.built_in_names()}
    assert sources >= set(NAMES) | set(images.NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_built_in_study_is_called_as_its_table(name: str) -> None:
    loaded = built_in(name)
    assert isinstance(loaded.trainable, Table)
    loaded.trainable.load()
    assert loaded.trainable.describe()["source"] == name
    assert {"learning_rate", "depth", "width", "optimizer", "batch_size", "l1", "l2"} <= set(loaded.space.searched)


@pytest.mark.parametrize("name", ["iris", "diabetes", "digits_images", "photo_patches"])
def test_the_network_of_a_built_in_study_fits_its_data(name: str) -> None:
    loaded = built_in(name)
    data = loaded.trainable.load()
    assert data.test is not None
    network = loaded.trainable.network(loaded.space.suggest(FixedTrial(usual_configuration(loaded.space))))
    assert network(*(tensor[:5] for tensor in data.validation.inputs)).isfinite().all()
    assert {"learning_rate", "depth", "optimizer", "batch_size", "l1", "l2"} <= set(loaded.space.searched)


@pytest.mark.parametrize("name", study_file.built_in_names())
def test_a_built_in_study_explains_itself(name: str) -> None:
    text = study_file.read_text(name)
    assert text.startswith("# ")
    assert re.search(r"\d+ rows|of \d+ ", text.splitlines()[0])
    assert max(map(len, text.splitlines())) <= 120
