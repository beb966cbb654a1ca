"""What a trial costs besides its training: this storage against Optuna's, in one run.

    python -m tests.benchmarks.storage_cost                      # SQLite in a temporary folder
    python -m tests.benchmarks.storage_cost postgresql://…       # a server, in a database that may be filled

The work of a trial: 8 parameters, 30 reports each followed by a prune check, 3 user attributes; random
sampler; the median pruner and Hyperband. RDBStorage does a few trials of the same work with Optuna's pruner, and so
does Optuna without any storage, which tells how quick the machine is just now.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage, get_storage
from optuna.trial import Trial

import storage as st
from storage import urls
from tuner.search import pruning

PARAMETERS, REPORTS, ATTRIBUTES, COHORT = 8, 30, 3, 16


def train(trial: Trial, rng: random.Random) -> None:
    """Do one trial's work short of telling it. Prune checks are made but not followed: all reports are."""
    quality = sum(trial.suggest_float(f"p{i}", 0, 1) for i in range(PARAMETERS)) / PARAMETERS
    for i in range(ATTRIBUTES):
        trial.set_user_attr(f"a{i}", i)
    for step in range(REPORTS):
        trial.report(1 - quality * step / REPORTS + rng.gauss(0, 0.05), step)
        trial.should_prune()


def one_by_one(study: optuna.Study, trials: int, mark: Callable[[int], None]) -> None:
    """Run trials through ask and tell, as a script of plain Optuna does."""
    rng = random.Random(0)
    for number in range(trials):
        mark(number)
        trial = study.ask()
        train(trial, rng)
        study.tell(trial, rng.random())
    mark(trials)


def in_cohorts(study: optuna.Study, storage: st.SQLStorage, trials: int, mark: Callable[[int], None]) -> None:
    """Run trials in cohorts, as a worker does: one transaction to claim, one to tell, the rest is written behind."""
    rng = random.Random(0)
    for number in range(0, trials, COHORT):
        mark(number)
        members = [Trial(study, claim.trial_id) for claim in storage.claim(study._study_id, COHORT)]
        for member in members:
            for i in range(PARAMETERS):
                member.suggest_float(f"p{i}", 0, 1)
        for step in range(REPORTS):
            for member in members:
                storage.set_trial_intermediate_value(member._trial_id, step, rng.random())
        with storage.batch():
            for member in members:
                for i in range(ATTRIBUTES):
                    storage.set_trial_user_attr(member._trial_id, f"a{i}", i)
                storage.set_trial_state_values(member._trial_id, optuna.trial.TrialState.COMPLETE, [rng.random()])
    mark(trials)


class Marks:
    """The time at which each trial began."""

    def __init__(self) -> None:
        self.times: dict[int, float] = {}

    def __call__(self, number: int) -> None:
        self.times[number] = time.perf_counter()

    def cost(self, start: int, stop: int) -> float:
        """Milliseconds a trial between two trials."""
        known = sorted(self.times)
        first = min(known, key=lambda n: abs(n - start))
        last = min(known, key=lambda n: abs(n - stop))
        return (self.times[last] - self.times[first]) / max(1, last - first) * 1000


def measure(name: str, storage: BaseStorage, pruner: BasePruner, trials: int, cohort: bool = False) -> None:
    """Run the work and print what a trial costs early, late and on average."""
    study = optuna.create_study(
        storage=storage, sampler=optuna.samplers.RandomSampler(seed=0), pruner=pruner, direction="minimize"
    )
    marks = Marks()
    if cohort:
        assert isinstance(storage, st.SQLStorage)
        in_cohorts(study, storage, trials, marks)
    else:
        one_by_one(study, trials, marks)
    early, late = marks.cost(60, 160), marks.cost(trials - 200, trials)
    whole = f"{marks.cost(0, trials):8.2f} ms a trial"
    grown = f", {early:.2f} at trial 100" if trials >= 200 else ""
    grown += f", {late:.2f} at trial {trials}" if trials >= 500 else ""
    print(f"{name:<52}{whole} over {trials}{grown}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="the database; default: SQLite in a temporary folder")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--plain-trials", type=int, default=20, help="trials on RDBStorage")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        url = options.url or f"sqlite:///{folder}/ours.db"
        plain = options.url or f"sqlite:///{folder}/plain.db"
        storage = st.open_storage(url)
        measure("Optuna in memory, its median pruner", InMemoryStorage(), MedianPruner(), 200)
        rdb = get_storage(RDBStorage(urls.parse(plain).render_as_string(hide_password=False)))
        measure("RDBStorage, Optuna's median pruner", rdb, MedianPruner(), options.plain_trials)
        measure("RDBStorage, Optuna's Hyperband", rdb, HyperbandPruner(max_resource=REPORTS), options.plain_trials)
        measure("ours, median pruner", storage, pruning.at_scale(MedianPruner()), options.trials)
        measure("ours, Hyperband", storage, pruning.at_scale(HyperbandPruner(max_resource=REPORTS)), options.trials)
        measure("ours, cohorts of 16", storage, pruning.at_scale(MedianPruner()), options.trials, cohort=True)
        storage.close()


if __name__ == "__main__":
    main()
