"""A model's card: what it must say, and whose file is which: an ensemble's networks have files of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuner.errors import DataError

if TYPE_CHECKING:
    from storage import Model

Files = Mapping[str, bytes]
NETWORKS = "networks"
"""The entry of an ensemble's card: for each network its trial, hyperparameters, scores, and files."""


def packed(networks: Sequence[Files]) -> tuple[dict[str, bytes], list[dict[str, str]]]:
    """Return the files of all networks under names of their own, and for each network its names of them.

    What several have in common, as a rule what prepares their inputs, is there once.
    """
    files: dict[str, bytes] = {}
    names: list[dict[str, str]] = []
    places: dict[tuple[str, bytes], str] = {}
    for number, network in enumerate(networks):
        names.append({})
        for name, content in network.items():
            place = places.setdefault((name, content), f"{number}.{name}")
            files[place] = content
            names[-1][name] = place
    return files, names


def check_card(card: Mapping[str, Any], where: str) -> None:
    """Check that a card says what is read of it.

    Raises:
        DataError: naming what it does not say.
    """
    for key, kind in _OF_A_MODEL.items():
        _check_entry(card, key, kind, where)
    if NETWORKS not in card:
        _check_entry(card, "trial", int, where)
        return
    _check_entry(card, NETWORKS, list, where)
    if not card[NETWORKS]:
        raise DataError(f"the card of the model '{where}' tells of no network; keep its trials again")
    for network in card[NETWORKS]:
        for key, kind in _OF_A_NETWORK.items():
            _check_entry(network if isinstance(network, dict) else {}, key, kind, where)


_OF_A_MODEL = {
    "objective": dict,
    "data": dict,
    "seed": int,
    "params": dict,
    "scores": dict,
    "network_parameters": int,
    "study": str,
    "kept": str,
}
_OF_A_NETWORK = {"trial": int, "params": dict, "scores": dict, "files": dict}


def _check_entry(card: Mapping[str, Any], key: str, kind: type, where: str) -> None:
    if not isinstance(card.get(key), kind):
        raise DataError(f"the card of the model '{where}' does not say its {key}; keep its trial again")


def unpacked(model: Model, where: str) -> list[tuple[Mapping[str, Any], Files]]:
    """Return the hyperparameters and the files of each network of a model.

    Raises:
        DataError: when its card does not say what they are, or names a file that it does not have.
    """
    check_card(model.card, where)
    if NETWORKS not in model.card:
        return [(model.card["params"], model.files)]
    found: list[tuple[Mapping[str, Any], Files]] = []
    for network in model.card[NETWORKS]:
        missing = [place for place in network["files"].values() if place not in model.files]
        if missing:
            raise DataError(f"the model '{where}' has no {missing[0]}; keep its trials again")
        found.append((network["params"], {name: model.files[place] for name, place in network["files"].items()}))
    return found


def trials_of(card: Mapping[str, Any]) -> list[int]:
    """Return the trials whose networks a card tells of."""
    return [network["trial"] for network in card.get(NETWORKS, [card])]


def trials_told(trials: Sequence[int]) -> str:
    """Return in words whose networks they are."""
    return f"trial {trials[0]}" if len(trials) == 1 else f"trials {', '.join(map(str, trials))} together"


def check_alone(model: Model, where: str, purpose: str) -> None:
    """Refuse an ensemble where one network is needed.

    Raises:
        DataError: naming the ``purpose``.
    """
    if NETWORKS in model.card:
        count = len(model.card[NETWORKS])
        raise DataError(f"the model '{where}' is an ensemble of {count} networks, not {purpose}; keep one trial alone")
