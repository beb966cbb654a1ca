from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tuner import loading
from tuner.preparation import prepare
from tuner.sources import read_spec
from tuner.trainable import DataOptions, Trainable
from tuner.training import CrossEntropy, Dataset, Loss, Part


class Notes(Trainable):
    """Folders that hold a file ``notes``."""

    class Data(DataOptions):
        source: str = ""

    data_sets = ("sonatas",)

    @classmethod
    def recognises(cls, source: Path) -> bool:
        return (source / "notes").is_file()

    def load(self) -> Dataset:
        part = Part(inputs=(torch.eye(2),), targets=torch.arange(2))
        return Dataset(training=part, validation=part)

    def network(self, params: Mapping[str, Any]) -> nn.Module:
        return nn.Linear(2, 2)

    def loss(self, params: Mapping[str, Any]) -> Loss:
        return CrossEntropy()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder in which ``sonatas/`` is data of a built-in objective, ``notes``."""
    monkeypatch.setitem(loading.BUILT_IN, "notes", f"{__name__}:Notes")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sonatas").mkdir()
    (tmp_path / "sonatas" / "notes").write_text("c e g")
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    return tmp_path


def test_what_is_tuned_follows_from_the_data_where_an_objective_recognises_it(folder: Path) -> None:
    spec, _ = read_spec(None, data="sonatas/")
    assert (spec.name, spec.objective["name"]) == ("sonatas", "notes")
    assert read_spec(None, data="rows.csv")[0].objective["name"] == "table"
    assert read_spec(None, data="absent.csv")[0].objective["name"] == "table"


def test_what_a_person_says_is_tuned_goes_before_what_the_data_looks_like(folder: Path) -> None:
    assert read_spec(None, data="sonatas", settings=["objective.name=table"])[0].objective["name"] == "table"
    assert read_spec("iris", data="sonatas")[0].objective["name"] == "table"


def test_a_study_file_without_an_objective_is_about_what_its_data_is(folder: Path) -> None:
    (folder / "study.toml").write_text('[data]\nsource = "sonatas"\n')
    assert read_spec("study.toml")[0].objective["name"] == "notes"


def test_a_folder_of_data_is_kept_by_its_whole_path(folder: Path) -> None:
    spec, where = read_spec(None, data="sonatas")
    assert prepare(spec, where=where).spec.data["source"] == str(folder / "sonatas")


def test_a_built_in_data_set_goes_before_a_folder_of_its_name(folder: Path) -> None:
    spec, where = read_spec(None, data="rows.csv", settings=["objective.name=notes", "data.source=sonatas"])
    assert prepare(spec, where=where).spec.data["source"] == "sonatas"


def test_the_folder_one_stands_in_names_the_study(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "sonatas")
    assert read_spec(None, data=".")[0].name == "sonatas"
