"""The best network of a study against scikit-learn's MLP tuned by random search: same split, same number of trials.

    python -m tests.benchmarks.sklearn_peer [TRIALS]

Both choose on the validation part; both are shown on it and on the test part, which neither saw.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import loguniform
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import f1_score, r2_score
from sklearn.model_selection import ParameterSampler
from sklearn.neural_network import MLPClassifier, MLPRegressor

import tuner
from tuner.loading import LoadedTrainable, load_objective
from tuner.recipes import recipe
from tuner.sources import read_spec
from tuner.spec import StudySpec
from tuner.training import Cohort, Dataset, Member, Part, predict
from tuner.training.randomness import derive

SPACE = {
    "hidden_layer_sizes": [(w,) * d for w in (32, 64, 128, 256) for d in (1, 2, 3, 4)],
    "activation": ["relu", "tanh", "logistic"],
    "alpha": loguniform(1e-7, 1e-1),
    "learning_rate_init": loguniform(1e-4, 1e-1),
    "batch_size": [16, 32, 64, 128],
    "solver": ["adam", "sgd"],
}


def main() -> None:
    """Run both on both data sets and print the scores."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    for source, metric in (("diabetes", "r2"), ("breast_cancer", "f1")):
        spec, _ = read_spec(source, settings=[f"objective.metric={metric}"], changes={"budget.trials": trials})
        loaded = load_objective(spec, where="benchmark")
        assert isinstance(loaded, LoadedTrainable)
        dataset = loaded.trainable.load()
        peer = sklearn_scores(dataset, metric, trials, spec.training.epochs)
        ours = tuner_scores(source, metric, trials, spec, loaded, dataset)
        for name, (validation, test) in (("scikit-learn", peer), ("tuner", ours)):
            print(f"{source:14} {metric:3} {name:13} validation {validation:.4f}   test {test:.4f}", flush=True)


def sklearn_scores(dataset: Dataset, metric: str, trials: int, epochs: int) -> tuple[float, float]:
    """Return validation and test score of the best of so many random configurations."""
    classification = metric == "f1"
    kind = MLPClassifier if classification else MLPRegressor
    best = (-np.inf, -np.inf)
    for seed, params in enumerate(ParameterSampler(SPACE, trials, random_state=0)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = kind(**params, max_iter=epochs, random_state=seed)
            try:
                model.fit(*arrays(dataset.training))
                scores = tuple(score(metric, part, model) for part in (dataset.validation, dataset.test))
            except ValueError:  # the configuration diverged
                continue
        best = max(best, (scores[0], scores[1]))
    return best


def score(metric: str, part: Part | None, model: Any) -> float:
    """Return the model's score on a part."""
    assert part is not None
    inputs, targets = arrays(part)
    function = f1_score if metric == "f1" else r2_score
    return float(function(targets, model.predict(inputs)))


def arrays(part: Part) -> tuple[Any, Any]:
    """Return a part as scikit-learn wants it."""
    targets = part.targets.numpy()
    return part.inputs[0].numpy(), targets.ravel()


def tuner_scores(
    source: str, metric: str, trials: int, spec: StudySpec, loaded: LoadedTrainable, dataset: Dataset
) -> tuple[float, float]:
    """Return validation and test score of the best trial, which is trained once more by its number."""
    with tempfile.TemporaryDirectory() as folder:
        results = tuner.start(
            source,
            settings=[f"objective.metric={metric}"],
            trials=trials,
            workers=2,
            storage=f"sqlite:///{Path(folder) / 'tuner.db'}",
        )
        best = results.best()[0]
        validation = best.values[metric]
        assert validation is not None
        params = {
            **{name: p.value for name, p in loaded.space.parameters.items() if hasattr(p, "value")},
            **best.params,
        }
    member = Member.build(
        number=best.number,
        recipe=recipe(params, spec.training, seed=derive(spec.seed, "trial", best.number)),
        network=lambda: loaded.trainable.network(params),
        loss=loaded.trainable.loss(params),
    )
    cohort = Cohort(dataset, loaded.trainable.metrics())
    cohort.join(member)
    while cohort.members:
        cohort.epoch()
    assert dataset.test is not None
    outputs = predict(member.module, dataset.test.inputs)
    metrics = loaded.trainable.metrics()
    return validation, float(metrics[0](outputs.unsqueeze(0), dataset.test.targets))


if __name__ == "__main__":
    main()
