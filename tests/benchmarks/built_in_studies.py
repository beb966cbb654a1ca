"""What the built-in studies reach on their test parts, beside simple answers to the same question.

The study is confirmed: of its five best configurations, the best by fresh seeds on the validation part is scored on the
test part, which the search has not seen. An exact match is that of greedy decoding: a network that foretells every
token after the right ones writes the same by itself.

python -m tests.benchmarks.built_in_studies [--trials N] [--workers N] STUDY...
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from optuna.trial import FixedTrial
from torch import Tensor

import tuner
from tests.benchmarks.simple_answers import (
    Answer,
    letter_by_letter,
    linear_regression,
    logistic_regression,
    majority,
    mean,
    of_texts,
    unseen,
)
from tuner.assessment import decoded_metrics
from tuner.loading import LoadedTrainable, load_objective
from tuner.results import Results


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """A simple answer that a tuned network should beat."""

    name: str
    answer: Answer


@dataclass(frozen=True, kw_only=True)
class BuiltIn:
    """A built-in study as it is measured."""

    task: str
    yardsticks: tuple[Yardstick, ...]
    trials: int = 50


MAJORITY = Yardstick(name="majority", answer=majority)
LOGISTIC_REGRESSION = Yardstick(name="logistic regression", answer=logistic_regression)
MEAN = Yardstick(name="mean", answer=mean)
LINEAR_REGRESSION = Yardstick(name="linear regression", answer=linear_regression)

BAG_OF_WORDS = Yardstick(name="bag of words", answer=of_texts())
LETTER_BY_LETTER = Yardstick(name="letter by letter", answer=letter_by_letter)
CHARACTERS = Yardstick(name="bag of 1 to 3 characters", answer=of_texts(analyzer="char_wb", ngram_range=(1, 3)))

STUDIES: dict[str, BuiltIn] = {
    "iris": BuiltIn(task="three species from 4 lengths", yardsticks=(MAJORITY, LOGISTIC_REGRESSION)),
    "wine": BuiltIn(task="three growers from 13 measurements", yardsticks=(MAJORITY, LOGISTIC_REGRESSION)),
    "breast_cancer": BuiltIn(task="malignant or benign, 30 measurements", yardsticks=(MAJORITY, LOGISTIC_REGRESSION)),
    "digits": BuiltIn(task="ten digits from 64 columns", yardsticks=(MAJORITY, LOGISTIC_REGRESSION)),
    "diabetes": BuiltIn(task="a disease after a year, 10 measurements", yardsticks=(MEAN, LINEAR_REGRESSION)),
    "linnerud": BuiltIn(task="three measures of 4 men from their exercises", yardsticks=(MEAN, LINEAR_REGRESSION)),
    "digits_images": BuiltIn(task="ten digits, 8 × 8 × 1", yardsticks=(MAJORITY, LOGISTIC_REGRESSION), trials=30),
    "photo_patches": BuiltIn(
        task="of which photo is a patch, 16 × 16 × 3", yardsticks=(MAJORITY, LOGISTIC_REGRESSION), trials=30
    ),
    "languages": BuiltIn(task="15 languages of names", yardsticks=(MAJORITY, BAG_OF_WORDS, CHARACTERS), trials=14),
    "pronunciation": BuiltIn(task="how 1,600 English words are said", yardsticks=(LETTER_BY_LETTER,), trials=12),
}
"""Every built-in study, by name."""


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
        storage = f"sqlite:///{Path(folder) / 'tuner.db'}"
        results = tuner.start(name, trials=trials or study.trials, workers=workers, storage=storage)
        seconds = time.perf_counter() - began
        found = tuner.confirm(name, workers=workers, storage=storage)
        metric = results.metric_names[0]
        answers = answered(results, found.chosen.trial, study)
    said = ", ".join(f"{yardstick} {score:.3f}" for yardstick, score in answers)
    tested, confirmed = (
        f"{estimate.mean:.3f}" + (f" ± {estimate.half_width:.3f}" if estimate.half_width is not None else "")
        for estimate in (found.test[metric], found.chosen.confirmed[metric])
    )
    return (
        f"| `{name}` | {study.task} | {said} | **{tested}** {metric} (validation {confirmed}, "
        f"found {found.chosen.searched[metric]:.3f}; {len(results.trials())} trials, {seconds:.0f} s) |"
    )


def answered(results: Results, number: int, study: BuiltIn) -> list[tuple[str, float]]:
    """Return the first metric of the yardsticks on the test part, by name; texts are cut as the trial cuts them."""
    spec = results.spec
    assert spec is not None
    loaded = load_objective(spec, where=results.name)
    assert isinstance(loaded, LoadedTrainable)
    trainable = loaded.trainable
    params = loaded.space.suggest(FixedTrial(dict(results.trial(number).params)))
    seen = trainable.encode(trainable.load(), params)
    metric, part = decoded_metrics(trainable)[0], unseen(seen)

    def score(outputs: Tensor) -> float:
        return float(metric(outputs.unsqueeze(0), part.targets))

    return [(yardstick.name, score(yardstick.answer(trainable, seen))) for yardstick in study.yardsticks]


if __name__ == "__main__":
    main()
