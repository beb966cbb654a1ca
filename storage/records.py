"""Records handed out by the storage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A trial that belongs to this storage object until its lease ends."""

    trial_id: int
    number: int  # the trial's number in its study, from 0
    token: int  # fencing token: a write that carries an older one is refused by the database
    resumed: bool  # somebody worked on it before: look for its last checkpoint
    losses: int = 0  # how many workers in a row died with it since its last checkpoint
    lost_by: str = ""  # how the last of them died
    vanished: int = 0  # how many more let its lease run out since then, and nobody knows how they ended


@dataclass(frozen=True, kw_only=True)
class Amended:
    """What a study is given: user attributes beside those it has, or in their place, and a budget."""

    user_attrs: Mapping[str, Any]
    budget: int | None
    params: Mapping[int, Mapping[str, tuple[Any, BaseDistribution]]] = field(default_factory=dict)
    """Parameters that trials are given beside those they have, by the trial's id: what they held without saying so."""


@dataclass(frozen=True, kw_only=True)
class WorkerRecord:
    """A worker that has registered for a study."""

    worker_id: int
    name: str
    host: str
    pid: int
    machine: str | None  # where the pid means something; None: not known
    started: float  # seconds since 1970, by the database's clock
    last_seen: float  # seconds since 1970, by the database's clock
    trials: int  # trials it holds now


@dataclass(frozen=True, kw_only=True)
class CheckpointRecord:
    """Where the state of one trial after one epoch lies."""

    trial_id: int
    epoch: int
    uri: str  # a path or any fsspec URL, as the writer gave it
    bytes: int
    sha256: str  # of the file, hexadecimal
