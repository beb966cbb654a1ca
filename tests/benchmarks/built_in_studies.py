"""What the built-in studies reach on their test parts, beside simple answers to the same question.

The best trial of a study is trained again (the same curve: its seed is its own) and scored on the test part, which the
search has not seen. The yardsticks learn from the same training part; what they choose, they choose by the validation
part.

python -m tests.benchmarks.built_in_studies [--trials N] [--workers N] STUDY...
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from optuna.trial import FixedTrial
from torch import Tensor

import tuner
from objectives.text import Text
from tuner.assessment import decoded_metrics
from tuner.loading import LoadedTrainable, load_objective
from tuner.members import make_member
from tuner.results import Results
from tuner.trainable import Trainable
from tuner.training import Cohort, Dataset, Member, Part, predict
from tuner.training.randomness import derive

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Of which a linear model's inverse penalty is chosen."""


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """A simple answer that a tuned network should beat."""

    name: str
    answer: Callable[[Trainable, Dataset], Tensor]
    """The outputs ``[N, …]`` for the test part, such as the objective's network would give."""


@dataclass(frozen=True, kw_only=True)
class BuiltIn:
    """A built-in study as it is measured."""

    task: str
    yardsticks: tuple[Yardstick, ...]
    trials: int = 50


def majority(_: Trainable, dataset: Dataset) -> Tensor:
    """Call every row of the commonest class."""
    classes = int(dataset.training.targets.max()) + 1
    counts = torch.bincount(dataset.training.targets, minlength=classes)
    return counts.double().expand(len(test_part(dataset)), -1)


def logistic_regression(_: Trainable, dataset: Dataset) -> Tensor:
    """Fit scikit-learn's on the flattened, standardised inputs; its penalty is chosen by the validation part."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def flat(part: Part) -> Tensor:
        return part.inputs[0].flatten(1).double()

    models = []
    for strength in STRENGTHS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
        model.fit(flat(dataset.training), dataset.training.targets)
        models.append((model.score(flat(dataset.validation), dataset.validation.targets), model))
    best = max(models, key=lambda scored: scored[0])[1]
    return torch.tensor(best.predict_log_proba(flat(test_part(dataset))))


def of_texts(**counted: Any) -> Callable[[Trainable, Dataset], Tensor]:
    """Return logistic regression on TF-IDF of what is ``counted``; its penalty is chosen by the validation part."""

    def answer(trainable: Trainable, _: Dataset) -> Tensor:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        assert isinstance(trainable, Text)
        texts, classes = trainable.texts.texts, trainable.encoded_targets()
        models = []
        for strength in (1.0, 10.0, 100.0):
            model = make_pipeline(TfidfVectorizer(**counted), LogisticRegression(C=strength, max_iter=500))
            model.fit(texts["training"], classes["training"])
            models.append((model.score(texts["validation"], classes["validation"]), model))
        best = max(models, key=lambda scored: scored[0])[1]
        return torch.tensor(best.predict_log_proba(texts["test"]))

    return answer


MAJORITY = Yardstick(name="majority", answer=majority)
LOGISTIC_REGRESSION = Yardstick(name="logistic regression", answer=logistic_regression)

BAG_OF_WORDS = Yardstick(name="bag of words", answer=of_texts())
CHARACTERS = Yardstick(name="bag of 1 to 3 characters", answer=of_texts(analyzer="char_wb", ngram_range=(1, 3)))

STUDIES: dict[str, BuiltIn] = {
    "languages": BuiltIn(task="15 languages of names", yardsticks=(MAJORITY, BAG_OF_WORDS, CHARACTERS), trials=14),
    "digits": BuiltIn(task="ten digits from 64 columns", yardsticks=(MAJORITY, LOGISTIC_REGRESSION)),
    "digits_images": BuiltIn(task="ten digits, 8 × 8 × 1", yardsticks=(MAJORITY, LOGISTIC_REGRESSION), trials=30),
    "photo_patches": BuiltIn(
        task="of which photo is a patch, 16 × 16 × 3", yardsticks=(MAJORITY, LOGISTIC_REGRESSION), trials=30
    ),
}
"""Every built-in study that is measured, by name."""


def main() -> None:
    """Measure the studies and print one row each, as in the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help="of: " + ", ".join(STUDIES))
    parser.add_argument("--trials", type=int, help="instead of the study's own number")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    for name in arguments.studies or STUDIES:
        print(row(name, trials=arguments.trials, workers=arguments.workers), flush=True)


def row(name: str, *, trials: int | None, workers: int) -> str:
    """Run one study and return its row of the README's table."""
    study = STUDIES[name]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        results = tuner.start(
            name, trials=trials or study.trials, workers=workers, storage=f"sqlite:///{Path(folder) / 'tuner.db'}"
        )
        seconds = time.perf_counter() - began
        best = results.best()[0]
        metric = results.metric_names[0]
        validation = best.values[metric]
        tuned, answers = tested(results, best.number, study)
    said = ", ".join(f"{yardstick} {score:.3f}" for yardstick, score in answers)
    return (
        f"| `{name}` | {study.task} | {said} | **{tuned:.3f}** {metric} (validation {validation:.3f}; "
        f"{len(results.trials())} trials, {seconds:.0f} s) |"
    )


def tested(results: Results, number: int, study: BuiltIn) -> tuple[float, list[tuple[str, float]]]:
    """Return the first metric on the test part: of a trial that is trained again, and of the yardsticks by name."""
    trainable, dataset, member = trained_again(results, number)
    seen = dataset if member.dataset is None else member.dataset
    metric = decoded_metrics(trainable)[0]
    targets = test_part(dataset).targets

    def score(outputs: Tensor) -> float:
        return float(metric(outputs.unsqueeze(0), targets))

    answers = [(yardstick.name, score(yardstick.answer(trainable, dataset))) for yardstick in study.yardsticks]
    return score(predict(member.module, test_part(seen).inputs)), answers


def trained_again(results: Results, number: int) -> tuple[Trainable, Dataset, Member]:
    """Return a trial's objective, data and member, trained as it was, with its best epoch's weights."""
    spec = results.spec
    assert spec is not None
    loaded = load_objective(spec, where=results.name)
    assert isinstance(loaded, LoadedTrainable)
    trainable = loaded.trainable
    dataset = trainable.load()
    params = loaded.space.suggest(FixedTrial(dict(results.trial(number).params)))
    seed = derive(spec.seed, "trial", number)
    member = make_member(trainable, dataset, params, spec.training, number=number, seed=seed)
    cohort = Cohort(dataset, decoded_metrics(trainable))
    cohort.join(member)
    while len(cohort):
        cohort.epoch()
    return trainable, dataset, member


def test_part(dataset: Dataset) -> Part:
    """Return the part that the search has not seen."""
    assert dataset.test is not None
    return dataset.test


if __name__ == "__main__":
    main()
