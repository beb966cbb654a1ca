"""The best trials together against the best one: what each scores on samples that chose nothing.

    python -m tests.benchmarks.ensembles [--studies iris wine …] [--networks 5] [--seeds 10] [--trials 30]

For each built-in study and each seed, which also changes the split, a search of so many trials; the networks of the
best ones answer the test part alone and together. Printed are means over the seeds, and the mean difference, in pairs,
± 1.96 standard errors.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from collections import defaultdict

import torch

from tests.benchmarks.fine_tuning import work
from tuner import study
from tuner.assessment import reported_metrics
from tuner.models.keeping import rebuild
from tuner.results import Results
from tuner.sources import read_spec
from tuner.training import predict

STUDIES = ("iris", "wine", "breast_cancer", "digits", "diabetes")
SHOWN = ("accuracy", "balanced_accuracy", "f1", "log_loss", "rmse", "mae")

Scores = dict[str, float]
"""By metric."""


def searched(name: str, seed: int, trials: int, folder: str) -> Results:
    """Return a study of so many trials, of one in five samples nobody has seen."""
    settings = ["data.test=0.2", f"seed={seed}", f"budget.trials={trials}", "model.keep_as="]
    spec, where = read_spec(name, settings=settings)
    results = study.create(spec, where=where, storage=f"sqlite:///{folder}/tuner.db")
    work(results)
    return results


def scored(results: Results, networks: int) -> tuple[Scores, Scores]:
    """Return what the best network and the best ones together score on the test part."""
    rebuilt = [rebuild(results, trial=row.number) for row in results.best(networks)[:networks]]
    first, part = rebuilt[0], rebuilt[0].dataset.test
    assert part is not None
    outputs = []
    for one in rebuilt:
        assert one.dataset.test is not None
        outputs.append(predict(one.member.module, one.dataset.test.feeds))
    metrics = [metric for metric in reported_metrics(first.trainable) if metric.name in SHOWN]
    answers = (outputs[0], first.trainable.combine(torch.stack(outputs)))
    alone, together = (
        {metric.name: float(metric(said.unsqueeze(0), part.targets)) for metric in metrics} for said in answers
    )
    return alone, together


def main() -> None:
    """Print a line for each study and metric."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", nargs="+", default=STUDIES)
    parser.add_argument("--networks", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.studies:
        pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for seed in range(options.seeds):
            with tempfile.TemporaryDirectory() as folder:
                alone, together = scored(searched(name, seed, options.trials, folder), options.networks)
            for metric, score in alone.items():
                pairs[metric].append((score, together[metric]))
        for metric, found in pairs.items():
            differences = [after - before for before, after in found]
            error = statistics.stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else math.nan
            one, several = (statistics.fmean(scores) for scores in zip(*found, strict=True))
            print(
                f"{name:14} {metric:18} the best {one:.4f}, {options.networks} together {several:.4f}: "
                f"{statistics.fmean(differences):+.4f} ± {1.96 * error:.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
