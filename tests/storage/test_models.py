from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from storage import ModelError, ModelStore
from storage.models import read_model

FILES = {"weights.safetensors": b"\x00\x01", "tokenizer.json": b"{}"}


@pytest.fixture(params=["folder", "url"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ModelStore:
    return ModelStore(str(tmp_path) if request.param == "folder" else f"memory://{uuid.uuid4().hex}")


def test_a_model_comes_back_as_it_was_kept(store: ModelStore) -> None:
    assert store.names() == []
    place = store.save("names", FILES, {"study": "s", "scores": {"accuracy": 0.5}})
    assert store.names() == ["names"]
    model = store.load("names")
    assert (model.place, dict(model.files)) == (place, FILES)
    assert model.card["study"] == "s"
    assert read_model(place) == model


def test_a_name_is_taken_until_its_model_is_replaced_as_a_whole(store: ModelStore) -> None:
    store.save("names", FILES, {})
    with pytest.raises(ModelError, match="there is a model 'names' already"):
        store.save("names", {}, {})
    before = store.load("names").sha256
    store.save("names", {"weights.safetensors": b"new"}, {}, replace=True)
    assert store.load("names").files == {"weights.safetensors": b"new"}
    assert store.load("names").sha256 != before


def test_a_model_that_was_half_written_is_none(tmp_path: Path) -> None:
    store = ModelStore(str(tmp_path))
    store.save("names", FILES, {})
    (tmp_path / "names" / "card.json").unlink()
    assert store.names() == []
    with pytest.raises(ModelError, match="is no model"):
        store.load("names")
    store.save("names", FILES, {})


def test_damage_is_told_by_the_file(tmp_path: Path) -> None:
    store = ModelStore(str(tmp_path))
    store.save("names", FILES, {})
    (tmp_path / "names" / "tokenizer.json").write_bytes(b"[]")
    with pytest.raises(ModelError, match=r"is damaged: tokenizer\.json"):
        store.load("names")
    (tmp_path / "names" / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"lacks its file tokenizer\.json"):
        store.load("names")
    (tmp_path / "names" / "card.json").write_text("{")
    with pytest.raises(ModelError, match=r"card.json is not JSON"):
        store.load("names")


@pytest.mark.parametrize("card", [{"format": 2}, {"format": 1, "files": {"../x": {"sha256": ""}}}])
def test_a_card_of_another_format_or_that_names_files_elsewhere_is_refused(
    tmp_path: Path, card: dict[str, object]
) -> None:
    (tmp_path / "names").mkdir()
    (tmp_path / "names" / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError):
        ModelStore(str(tmp_path)).load("names")
