"""What a confirmation of a study's best trials has found. Free of torch; see confirming.py for how it is found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner.results import TrialRow


CONFIRMING = ".confirm"
"""Ends the names of studies that confirm another."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a configuration scores, whatever its seed: from the scores of several."""

    scores: tuple[float, ...]
    """One a seed, at least one."""
    half_width: float | None
    """The 95 % interval is the mean ± this; ``None`` where nothing tells how far scores spread."""

    @property
    def mean(self) -> float:
        """The mean of the scores."""
        return fmean(self.scores)

    def to_json(self) -> dict[str, Any]:
        """Return the estimate with stable keys."""
        return {"mean": self.mean, "half_width": self.half_width, "scores": list(self.scores)}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Estimate:
        """Return what :meth:`to_json` gave."""
        return Estimate(scores=tuple(values["scores"]), half_width=values["half_width"])


Estimates = Mapping[str, Estimate]
"""By metric."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One of the best trials, trained again from fresh seeds."""

    trial: int
    searched: Mapping[str, float]
    """What the trial itself scored, by metric: the best of many, and so in part luck."""
    confirmed: Estimates
    """What fresh seeds score on the validation part; empty where none came to its end."""
    ended: int
    """So many of the seeds came to their end; the others diverged or failed."""
    as_good: bool
    """It is the chosen one, or these seeds do not tell it from the chosen one (Welch's t-test, 5 %)."""

    def to_json(self) -> dict[str, Any]:
        """Return the candidate with stable keys."""
        return {
            "trial": self.trial,
            "searched": dict(self.searched),
            "confirmed": {name: estimate.to_json() for name, estimate in self.confirmed.items()},
            "ended": self.ended,
            "as_good": self.as_good,
        }

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Candidate:
        """Return what :meth:`to_json` gave."""
        return Candidate(**{**values, "confirmed": _estimates(values["confirmed"])})


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """The best trials of a study, trained again; the best of them by that, and its scores on the test part."""

    study: str
    """The confirmed one. The trainings are the trials of another study, :attr:`trials_in`."""
    seeds: int
    """So many a candidate."""
    candidates: Sequence[Candidate]
    """The best by the mean of the first metric come first."""
    test: Estimates
    """What the chosen one scores on the test part; empty where there is none. The interval covers what another
    seed would change and, but for sequences, what other test samples would."""
    test_samples: int
    looks: int
    """How often the test part of this study has been looked at, this time included."""
    trainings: Sequence[int] = ()
    """The trials in :attr:`trials_in` of the chosen one that came to their end."""
    together: Estimates = field(default_factory=dict)
    """What the networks of :attr:`trainings` score on the test part as one ensemble, of which there is one score: the
    interval covers other test samples alone. Empty where there is no test part, they are no two, they cannot answer
    together, or it is too large to be looked at again."""

    @property
    def chosen(self) -> Candidate:
        """The one to use: the best on the validation part, by the mean over its seeds."""
        return self.candidates[0]

    @property
    def trials_in(self) -> str:
        """The study whose trials the trainings are."""
        return confirming_study(self.study)

    def keeping_together(self) -> list[str]:
        """Return the command that keeps the networks of :attr:`trainings` as one model; empty where there is none."""
        if not self.together:
            return []
        return ["keep", self.trials_in, *(word for number in self.trainings for word in ("--trial", str(number)))]

    def of(self, trial: int) -> Candidate | None:
        """Return what was found of a trial, if it was among the candidates."""
        return next((candidate for candidate in self.candidates if candidate.trial == trial), None)

    def asked(self, rows: Iterable[TrialRow], seeds: int) -> bool:
        """Whether it is of these trials, with so many seeds."""
        return seeds == self.seeds and {row.number for row in rows} == {one.trial for one in self.candidates}

    def to_json(self) -> dict[str, Any]:
        """Return the confirmation with stable keys."""
        return {
            "study": self.study,
            "chosen": self.chosen.trial,
            "seeds": self.seeds,
            "candidates": [candidate.to_json() for candidate in self.candidates],
            "test": {name: estimate.to_json() for name, estimate in self.test.items()},
            "test_samples": self.test_samples,
            "looks": self.looks,
            "trainings": list(self.trainings),
            "together": {name: estimate.to_json() for name, estimate in self.together.items()},
        }

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Confirmation:
        """Return what :meth:`to_json` gave."""
        return Confirmation(
            study=values["study"],
            seeds=values["seeds"],
            candidates=[Candidate.from_json(one) for one in values["candidates"]],
            test=_estimates(values["test"]),
            test_samples=values["test_samples"],
            looks=values["looks"],
            trainings=tuple(values.get("trainings", ())),
            together=_estimates(values.get("together", {})),
        )


def confirming_study(study: str) -> str:
    """Return the name of the study that confirms ``study``."""
    return f"{study}{CONFIRMING}"


def _estimates(values: Mapping[str, Any]) -> Estimates:
    return {name: Estimate.from_json(estimate) for name, estimate in values.items()}
