"""Models by name, under a folder or any fsspec URL: each a folder of files, and a card that describes them.

The card is written last and carries size and checksum of each file. A folder without a card is no model; a model that
does not agree with its card is refused. Nothing in it is code, and nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storage import urls
from storage.errors import ModelError
from storage.files import open_files

CARD = "card.json"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model as it was kept."""

    place: str  # the folder or URL
    sha256: str  # of the card, and so of all it names
    card: Mapping[str, Any]
    files: Mapping[str, bytes]


class ModelStore:
    """The models under one folder or URL."""

    def __init__(self, root: str) -> None:
        self._files = open_files(root)

    def place(self, name: str) -> str:
        """Return the folder or URL of the model of that name."""
        return self._files.uri(name)

    def names(self) -> list[str]:
        """Return the names of all models."""
        found = [path.rpartition("/")[2] for path in self._files.list("")]
        return sorted(name for name in found if f"{name}/{CARD}" in self._files.list(name))

    def save(self, name: str, files: Mapping[str, bytes], card: Mapping[str, Any], *, replace: bool = False) -> str:
        """Keep a model; return its place. One that is there already is only replaced when told so.

        Raises:
            ModelError: there is a model of that name.
            CheckpointError: a file could not be written.
            StorageFullError: the disk is full.
        """
        there = self._files.list(name)
        if f"{name}/{CARD}" in there and not replace:
            raise ModelError(f"there is a model '{name}' already: {urls.mask(self.place(name))}")
        described = {
            file: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for file, content in files.items()
        }
        text = json.dumps({"format": FORMAT, "name": name, **card, "files": described}, indent=1, ensure_ascii=False)
        self._files.remove(f"{name}/{CARD}")  # first: half a model is none
        for path in there:
            self._files.remove(path)
        for file, content in files.items():
            self._files.write(f"{name}/{file}", content)
        self._files.write(f"{name}/{CARD}", text.encode())
        return self.place(name)

    def card(self, name: str) -> dict[str, Any]:
        """Return what the model's card says.

        Raises:
            ModelError: there is no such model, or its card is damaged.
        """
        return _parsed(self._card_text(name), self.place(name))

    def load(self, name: str) -> Model:
        """Return a model whose files all agree with its card.

        Raises:
            ModelError: there is none, or it is damaged.
        """
        text = self._card_text(name)
        place = urls.mask(self.place(name))
        card = _parsed(text, place)
        files = {}
        for file, described in card["files"].items():
            try:
                files[file] = self._files.read(f"{name}/{file}")
            except OSError as error:
                raise ModelError(f"the model '{place}' lacks its file {file}") from error
            if hashlib.sha256(files[file]).hexdigest() != described["sha256"]:
                raise ModelError(f"the model '{place}' is damaged: {file} does not have the checksum of its card")
        return Model(place=self.place(name), sha256=hashlib.sha256(text).hexdigest(), card=card, files=files)

    def _card_text(self, name: str) -> bytes:
        try:
            return self._files.read(f"{name}/{CARD}")
        except OSError as error:
            raise ModelError(f"'{urls.mask(self.place(name))}' is no model: there is no {CARD} in it") from error


def read_model(place: str) -> Model:
    """Return the model in a folder or at a URL, as :meth:`ModelStore.load` does."""
    root, _, name = place.rstrip("/").rpartition("/")
    return ModelStore(root).load(name)


def _parsed(text: bytes, place: str) -> dict[str, Any]:
    try:
        card = json.loads(text)
    except ValueError as error:
        raise ModelError(f"the model '{place}' is damaged: its {CARD} is not JSON") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT or not isinstance(card.get("files"), dict):
        raise ModelError(f"the model '{place}' is not of format {FORMAT}: another version of tuner kept it")
    for file in card["files"]:
        if "/" in file or file.startswith("."):
            raise ModelError(f"the model '{place}' is damaged: '{file}' is no name of a file in it")
    return card
