"""The translation as an objective: what the engine gets, what it learns, and what people are told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import tuner
from objectives.text.tokenizers import BOS, EOS, PAD
from objectives.translation import Translation
from objectives.translation.translator import Translator
from tests.objectives.translation.kit import PARAMS, SPACE, backwards, recipe, translation
from tests.tuner.training.making import assert_same
from tuner.assessment import decoded_metrics
from tuner.errors import UsageError
from tuner.training import Cohort, CrossEntropy, Dataset, EpochResult, Member

NOTHING: Any = None
"""What ``encode`` is given counts for nothing once the pairs are loaded."""


def member(objective: Translation, number: int = 0, *, params: dict[str, Any] = PARAMS, **changes: Any) -> Member:
    """A member in double precision whose seed is its number."""
    return Member.build(
        number=number,
        recipe=recipe(**{"seed": number} | changes),
        network=lambda: objective.network(params).double(),
        loss=objective.loss(params),
        dataset=objective.encode(NOTHING, params),
    )


def train(objective: Translation, members: list[Member]) -> dict[int, list[EpochResult]]:
    cohort = Cohort(objective.encode(NOTHING, PARAMS), decoded_metrics(objective))
    for one in members:
        cohort.join(one)
    curves: dict[int, list[EpochResult]] = {one.number: [] for one in members}
    while len(cohort):
        for result in cohort.epoch():
            curves[result.number].append(result)
    return curves


@pytest.fixture
def objective(tmp_path: Path) -> Translation:
    made = translation(tmp_path)
    made.load()
    return made


def encoded(objective: Translation, **changes: Any) -> Dataset:
    return objective.encode(NOTHING, PARAMS | changes)


def test_a_target_is_foretold_from_what_stands_before_it(objective: Translation) -> None:
    dataset = encoded(objective)
    source, target = dataset.info["source_tokenizer"], dataset.info["target_tokenizer"]
    pairs = objective.prepared.parts["validation"]
    for text, wanted, letters, tokens, following in zip(
        pairs.sources,
        pairs.targets,
        *(x.tolist() for x in (*dataset.validation.inputs, dataset.validation.targets)),
        strict=True,
    ):
        assert source.decode([letters]) == [text]
        assert tokens[0] == BOS
        count = len(wanted.split()) + 1
        assert target.decode([following[:count]]) == [wanted]
        assert following[count - 1] == EOS
        assert tokens[1:count] == following[: count - 1]
        assert set(following[count:]) <= {-100}
        assert set(tokens[count + 1 :]) <= {PAD}


def test_equal_tokenizers_give_the_same_data_and_others_other_data(objective: Translation) -> None:
    assert encoded(objective) is encoded(objective, heads=4)
    other = encoded(objective, source_tokenizer="bpe", source_vocabulary=300)
    assert other is not encoded(objective)
    assert other.info["source_tokenizer"].kind == "bpe"


def test_tokenizers_learn_from_the_training_part_alone(tmp_path: Path) -> None:
    frame = backwards(40)
    odd = "zyx"
    frame = frame.with_columns(part=pl.Series(["training"] * 30 + ["validation"] * 10))
    frame[35, "word"] = odd
    objective = translation(tmp_path, frame, split_column="part")
    objective.load()
    tokenizer = encoded(objective).info["source_tokenizer"]
    assert not set(odd) & set(tokenizer.vocabulary)
    assert tokenizer.decode(tokenizer.tokens([odd])) == ["���"]


def test_both_sides_may_have_one_vocabulary(objective: Translation) -> None:
    params = {name: value for name, value in PARAMS.items() if not name.startswith("source_")} | {
        "shared": True,
        "target_tokenizer": "character",
    }
    info = objective.encode(NOTHING, params).info
    assert info["source_tokenizer"] is info["target_tokenizer"]
    network: Any = objective.network(params)
    assert network.source is network.target


def test_the_loss_smooths_labels_and_leaves_padding_out(tmp_path: Path) -> None:
    objective = translation(tmp_path, options={"label_smoothing": 0.1})
    assert objective.loss(PARAMS) == CrossEntropy(label_smoothing=0.1, ignore_index=-100)


def test_metrics_are_those_of_sequences(tmp_path: Path) -> None:
    assert translation(tmp_path).metric_names() == ["exact_match"]
    both = translation(tmp_path, options={"metric": ["levenshtein", "perplexity"]})
    assert both.metric_names() == ["edit_distance", "perplexity"]
    with pytest.raises(UsageError, match="metric 'accuracy' is for classification, but the task is sequence; choose"):
        translation(tmp_path, options={"metric": "accuracy"}).load()


def test_members_in_a_cohort_learn_what_they_learn_alone(objective: Translation) -> None:
    together = [member(objective, number, learning_rate=rate) for number, rate in ((0, 1e-3), (1, 5e-3))]
    curves = train(objective, together)
    for one in together:
        alone = member(objective, one.number, learning_rate=one.recipe.learning_rate)
        assert_same(one, curves[one.number], alone, train(objective, [alone])[one.number])


def test_a_member_that_is_resumed_goes_on_as_if_nothing_had_been(objective: Translation) -> None:
    params = PARAMS | {"dropout": 0.2}
    whole = member(objective, params=params)
    curve = train(objective, [whole])[0]
    cohort = Cohort(encoded(objective), decoded_metrics(objective))
    begun = member(objective, params=params)
    cohort.join(begun)
    (first,) = cohort.epoch()
    resumed = member(objective, params=params)
    resumed.restore(*begun.state())
    assert_same(resumed, [first, *train(objective, [resumed])[0]], whole, curve)


def test_what_was_learned_can_be_used_and_is_scored_as_text(tmp_path: Path) -> None:
    objective = translation(tmp_path, backwards(400, letters="abc"), options={"decoded": 30, "beam": 2})
    objective.load()
    learned = member(objective, epochs=30, learning_rate=1e-2, schedule="one_cycle")
    curve = train(objective, [learned])[0]
    module: Any = learned.module
    scores = objective.final_scores(module, encoded(objective))
    assert scores["decoded_exact_match"] > 0.5
    assert scores["decoded_edit_distance"] < 0.3
    assert scores["decoded"] == 30
    assert len(scores["examples"]) == 5
    json.dumps(scores)
    pairs = objective.prepared.parts["validation"]
    said = Translator.of(module, encoded(objective), beam=1)(pairs.sources)
    assert sum(a == b for a, b in zip(said, pairs.targets, strict=True)) / len(pairs) == pytest.approx(
        curve[learned.best_epoch - 1].metrics["exact_match"]
    ), "greedy is right where each next token is foretold from the right ones before it"
    assert Translator.of(module, encoded(objective))([]) == []


def test_a_translation_of_unknown_tokens_is_never_right(tmp_path: Path) -> None:
    frame = backwards(40).with_columns(part=pl.Series(["training"] * 30 + ["validation"] * 10))
    strange = pl.when(pl.col("part") == "validation").then(pl.lit("q")).otherwise(pl.col("backwards"))
    objective = translation(tmp_path, frame.with_columns(backwards=strange), split_column="part")
    objective.load()
    scores = objective.final_scores(objective.network(PARAMS), encoded(objective))
    assert scores["decoded_exact_match"] == 0


def test_what_was_found_is_told(objective: Translation) -> None:
    told = objective.describe()
    assert told["source"] == "pairs.csv"
    assert sum(told["rows"].values()) == 200
    assert told["translation"] == {"from": "word", "to": "backwards"}
    json.dumps(told, allow_nan=False)


def test_a_study_finishes_with_its_final_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    backwards(60).write_csv(tmp_path / "pairs.csv")
    results = tuner.start(
        data="pairs.csv",
        target="backwards",
        trials=1,
        workers=1,
        settings=["objective.name=translation", "training.epochs=2", "objective.decoded=5", *SPACE],
    )
    (row,) = results.best()
    assert row.attributes["final"].keys() == {"decoded_exact_match", "decoded_edit_distance", "decoded", "examples"}
    assert row.attributes["validation"].keys() == {
        "loss",
        "exact_match",
        "token_accuracy",
        "edit_distance",
        "perplexity",
    }
    assert "not_assessed" not in row.attributes
    assert [epoch.epoch for epoch in results.epochs(0)] == [1, 2]
    shown = subprocess.run(
        [sys.executable, "-m", "tuner", "show", "pairs", "0"], capture_output=True, text=True, check=True
    )
    assert "decoded_edit_distance" in shown.stdout
    assert "should be" in shown.stdout


def test_importing_the_objective_imports_no_torch() -> None:
    code = "import sys, objectives.translation; assert not {'torch', 'sklearn', 'numpy', 'polars'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
