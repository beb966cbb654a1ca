"""Where models are kept, and how a study file names them: by name, by folder, or by URL.

When a study is created, what names a model or a file of weights is written out as its whole place and its checksum:
``/home/ann/tuner-models/names#sha256=3f2a…``. So every worker finds it, and one that has changed is noticed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage import ModelError, ModelStore, StorageError
from storage.files import open_files
from storage.models import CARD, read_model
from storage.urls import beside, mask, parse
from tuner.errors import DataError, StudyConflictError, UsageError
from tuner.models.cards import check_alone, check_card
from tuner.spelling import nearest

if TYPE_CHECKING:
    from storage import Model
    from tuner.spec import StudySpec

FOLDER = "tuner-models"
VARIABLE = "TUNER_MODELS"
"""The environment variable that says where models are kept."""
WEIGHTS = "weights.safetensors"
"""The file of a model that holds its parameters and buffers, by the names they have in its network."""
_DIGEST = "#sha256="
_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl")


def open_models(storage_url: str, where: str = "") -> ModelStore:
    """Return the models in ``where``, else where ``TUNER_MODELS`` says, else beside the SQLite file or here."""
    return ModelStore(where or os.environ.get(VARIABLE, "") or beside(parse(storage_url), FOLDER))


def located(spec: StudySpec, storage_url: str) -> StudySpec:
    """Return ``spec`` with the models and weights that it names written out as whole places with their checksums.

    Raises:
        UsageError, DataError: when there is none of that name, or it cannot be read.
        StudyConflictError: when one has not the checksum that is written.
    """
    start, pretrained = spec.model.start_from, spec.objective.get("pretrained")
    if not start and not pretrained:
        return spec
    store = open_models(storage_url, spec.model.where)
    changes: dict[str, Any] = {}
    if start:
        changes["model"] = spec.model.model_copy(update={"start_from": _pinned_weights(start, store)})
    if isinstance(pretrained, str) and pretrained:
        changes["objective"] = {**spec.objective, "pretrained": _pinned_model(pretrained, store)}
    return spec.model_copy(update=changes)


def check_free(spec: StudySpec, storage_url: str) -> None:
    """Refuse a name to keep the best network under that another study's has.

    Raises:
        UsageError: naming the model.
    """
    name = spec.model.keep_as
    if name and not may_replace(open_models(storage_url, spec.model.where), name, spec.name):
        raise UsageError(f"[model] keep_as: another study's network is kept as '{name}'; choose another name")


def check_place(name: str) -> str:
    """Return ``name`` when a model may have it.

    Raises:
        UsageError: when it may not: a name is never a path.
    """
    from tuner.spec import check_name

    try:
        return check_name(name)
    except ValueError as error:
        raise UsageError(f"model '{name}': {error}") from None


def may_replace(store: ModelStore, name: str, study: str) -> bool:
    """Whether the name is free, or what is kept under it came from the study."""
    if name not in store.names():
        return True
    try:
        return bool(store.card(name).get("study") == study)
    except ModelError:
        return True


def open_model(reference: str) -> Model:
    """Return the model at a whole place, with or without a checksum.

    Raises:
        DataError: when there is none, or it is damaged.
        StudyConflictError: when it has not the checksum that the reference names.
    """
    place, _, digest = reference.partition(_DIGEST)
    try:
        model = read_model(place)
    except StorageError as error:
        raise DataError(str(error)) from None
    _check(place, digest, model.sha256)
    return model


def read_weights(reference: str) -> tuple[bytes, str]:
    """Return the content of a file of weights, or of a model's, and its checksum.

    Raises:
        DataError, StudyConflictError: see :func:`open_model`.
    """
    place, _, digest = reference.partition(_DIGEST)
    if not place.endswith(".safetensors"):
        model = open_model(reference)
        check_alone(model, shown(reference), "a network to begin with")
        return model.files[WEIGHTS], model.sha256
    root, _, name = place.rpartition("/")
    try:
        content = open_files(root).read(name)
    except (OSError, StorageError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"the weights '{mask(place)}' cannot be read: {reason}") from None
    found = hashlib.sha256(content).hexdigest()
    _check(place, digest, found)
    return content, found


def shown(reference: str) -> str:
    """Return the place alone, as messages name it."""
    return mask(reference.partition(_DIGEST)[0])


def _check(place: str, wanted: str, found: str) -> None:
    if wanted and wanted != found:
        raise StudyConflictError(
            f"'{mask(place)}' is not what it was when the study was created (its checksum is {found[:12]}…, not "
            f"{wanted[:12]}…); put it back, or start the study under another --name"
        )


def _pinned_weights(reference: str, store: ModelStore) -> str:
    place, _, digest = reference.partition(_DIGEST)
    if place.endswith(_PICKLES):
        raise UsageError(
            f"[model] start_from = '{place}': such a file may hold code, which is never loaded; save the weights with "
            "safetensors.torch.save_file(network.state_dict(), 'weights.safetensors')"
        )
    whole = _whole_place(place, store, "[model] start_from")
    _, found = read_weights(f"{whole}{_DIGEST}{digest}" if digest else whole)
    return f"{whole}{_DIGEST}{found}"


def _pinned_model(reference: str, store: ModelStore) -> str:
    place, _, digest = reference.partition(_DIGEST)
    whole = _whole_place(place, store, "[objective] pretrained")
    model = open_model(f"{whole}{_DIGEST}{digest}" if digest else whole)
    return f"{whole}{_DIGEST}{model.sha256}"


def _whole_place(written: str, store: ModelStore, key: str) -> str:
    """Return the URL, the absolute path, or the place of the model of that name."""
    if re.match(r"^[a-z][a-z0-9+.-]+://", written):
        return written
    path = Path(written)
    if path.is_file() or (path / CARD).is_file():
        return str(path.resolve())
    if written.endswith(".safetensors") or "/" in written:
        raise UsageError(f"{key} = '{written}': there is no such file, and no model")
    return _by_name(written, store, f"{key}: ")


def _by_name(name: str, store: ModelStore, prefix: str = "") -> str:
    names = store.names()
    if name not in names:
        there = f"there are: {', '.join(names[:10])}{', …' * (len(names) > 10)}" if names else "there are none yet"
        hint = nearest(name, names)
        said = f"{hint} {there[0].upper()}{there[1:]}" if hint else f"; {there}"
        raise UsageError(f"{prefix}there is no model '{name}' in {mask(store.place('').rstrip('/'))}{said}")
    return store.place(name)


def find_model(written: str, store: ModelStore) -> str:
    """Return the place of a model that a person names: the URL, the folder, or that of the model of that name.

    Raises:
        UsageError: when there is none, naming the nearest and those that there are.
    """
    if re.match(r"^[a-z][a-z0-9+.-]+://", written):
        return written
    path = Path(written).expanduser()
    if (path / CARD).is_file():
        return str(path.resolve())
    if path.is_file():
        raise UsageError(f"'{written}' is a file; a kept model is a folder with a {CARD}, which `tuner keep` writes")
    if written not in store.names() and ("/" in written or path.is_dir()):
        raise UsageError(
            f"'{written}' is no model: there is no {'such folder' if not path.is_dir() else CARD + ' in it'}"
        )
    return _by_name(written, store)


def summaries(store: ModelStore) -> list[Mapping[str, Any]]:
    """Return the cards of all models, by name."""
    cards: list[Mapping[str, Any]] = []
    for name in store.names():
        try:
            card = store.card(name)
            check_card(card, name)
            cards.append(card)
        except (ModelError, DataError) as error:
            cards.append({"name": name, "damaged": str(error)})
    return cards
