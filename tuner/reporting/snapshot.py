"""A study as a report shows it: read once, so that all of the page is of one moment."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuner import attributes
from tuner.study import DEFAULT_STORAGE

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

    from tuner.confirmation import Confirmation
    from tuner.results import Epoch, Results, Status, TrialRow

BEST_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What is known of a study at one moment."""

    results: Results
    status: Status
    rows: Sequence[TrialRow]
    best: Sequence[TrialRow]
    """The best trials, best first; of several metrics, the Pareto front."""
    chosen: TrialRow
    """The trial to use, of which the report tells most."""
    epochs: Sequence[Epoch]
    """Of the chosen one."""
    confirmation: Confirmation | None
    spec: Mapping[str, Any]
    """As it is stored; empty for a study of plain Optuna."""
    taken: dt.datetime

    @property
    def name(self) -> str:
        """The study's."""
        return self.results.name

    @property
    def metrics(self) -> Sequence[str]:
        """The names of what is optimised."""
        return self.results.metric_names

    @property
    def directions(self) -> Mapping[str, str]:
        """``minimize`` or ``maximize``, by metric."""
        return dict(zip(self.metrics, self.results.directions, strict=True))

    @property
    def finished(self) -> Sequence[TrialRow]:
        """The trials whose values are results."""
        return [row for row in self.rows if row.state == "finished"]

    @property
    def usual(self) -> TrialRow | None:
        """The trial of the usual configuration, if it has finished."""
        first = self.rows[0]
        return first if first.state == "finished" and first.attributes.get(attributes.USUAL) is True else None

    @property
    def of_network(self) -> bool:
        """Whether an objective in parts was tuned, whose space and data tuner knows."""
        return bool(self.spec.get("space"))

    def study(self) -> Study:
        """Return Optuna's view of the study."""
        import optuna

        return optuna.load_study(study_name=self.name, storage=self.results.storage)

    def searched(self, study: Study) -> Mapping[str, BaseDistribution]:
        """Return what was searched: hyperparameters with several values, as they were last."""
        found: dict[str, BaseDistribution] = {}
        for trial in study.get_trials(deepcopy=False):
            found |= trial.distributions
        several = {name: {str(row.params[name]) for row in self.finished if name in row.params} for name in found}
        return {name: distribution for name, distribution in found.items() if len(several[name]) > 1}

    def command(self, *words: str) -> str:
        """Return a command about the study, as a person types it; a password in the storage's URL is masked."""
        where = self.results.storage.safe_url
        return shlex.join(["tuner", *words, *(["--storage", where] if where != DEFAULT_STORAGE else [])])


def take(results: Results) -> Snapshot:
    """Read a study.

    Raises:
        NoFinishedTrialError: when no trial has finished.
    """
    best = results.best(BEST_SHOWN)
    chosen = results.chosen()
    kept = results.storage.get_study_user_attrs(results.study_id)
    return Snapshot(
        results=results,
        status=results.status(),
        rows=results.trials(),
        best=best,
        chosen=chosen,
        epochs=results.epochs(chosen.number),
        confirmation=results.confirmation,
        spec=kept.get(attributes.SPEC) or {},
        taken=dt.datetime.now().astimezone(),
    )
