"""The built-in study of languages: better than simple answers, and continued after its worker was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from objectives.text.datasets import LANGUAGES, load_built_in
from tests.objectives.text.texts_kit import make_text, params
from tuner import study
from tuner.assessment import decoded_metrics
from tuner.members import make_member
from tuner.results import Results
from tuner.spec import Training
from tuner.training import Cohort


def test_each_name_is_of_one_language() -> None:
    frame, targets = load_built_in("languages")
    assert targets == ["language"]
    assert frame["name"].n_unique() == frame.height > 5000
    assert frame["language"].n_unique() == len(LANGUAGES)


def test_a_network_beats_a_bag_of_words_and_the_commonest_language() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    text = make_text(source="languages", target="language", text="name")
    dataset = text.load()
    one = params(network="bag_of_embeddings", tokenizer="bpe", vocabulary=500, width=32, learning_rate=0.02)
    member = make_member(text, dataset, one, Training(epochs=6), number=0, seed=0)
    cohort = Cohort(dataset, decoded_metrics(text))
    cohort.join(member)
    best = 0.0
    while len(cohort):
        best = max(best, cohort.epoch()[0].metrics["accuracy"])
    texts, classes = text.texts.texts, text.encoded_targets()
    words = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10, max_iter=2000)).fit(
        texts["training"], classes["training"]
    )
    commonest = Counter(classes["validation"].tolist()).most_common(1)[0][1] / len(classes["validation"])
    assert best > words.score(texts["validation"], classes["validation"]) + 0.3
    assert best > commonest + 0.5


SETTINGS = [
    "training.epochs=4",
    "space.data_fraction=0.1",
    "space.network=transformer",
    "space.tokenizer=bpe",
    "space.vocabulary=500",
    "space.depth=1",
    "search.sampler=random",
    "search.pruner=none",
]


@pytest.mark.timeout(300)
def test_a_killed_worker_is_continued_on_the_same_curve(tmp_path: Path) -> None:
    def curve(results: Results) -> list[float]:
        return [epoch.scores["validation_loss"] for epoch in results.epochs(0)]

    whole = study.start(
        "languages", trials=1, workers=1, settings=SETTINGS, storage=f"sqlite:///{tmp_path / 'whole.db'}"
    )
    storage = f"sqlite:///{tmp_path / 'killed.db'}"
    asked = f"trials=1, workers=1, settings={SETTINGS!r}, storage={storage!r}"
    code = f"from tuner import study; study.start('languages', {asked})"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 120
        while True:
            assert time.monotonic() < deadline
            time.sleep(0.05)
            try:
                results = study.load("languages", storage=storage)
                if len(results.epochs(0)) >= 1:
                    break
            except Exception:  # noqa: BLE001 - the study appears in a moment
                continue
        process.kill()
        for worker in results.storage.list_workers(results.study_id):
            os.kill(worker.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    continued = study.resume("languages", workers=1, storage=storage)
    assert curve(continued) == pytest.approx(curve(whole), rel=1e-4)
    assert len(curve(continued)) == 4
