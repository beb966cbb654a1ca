"""Which file of a model is whose: one network has them all, of an ensemble each has its own."""

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


def unpacked(model: Model, where: str) -> list[tuple[Mapping[str, Any], Files]]:
    """Return the hyperparameters and the files of each network of a model.

    Raises:
        DataError: when its card names a file that it does not have.
    """
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
