"""Texts as an objective: what is read, how trials see it, and that they learn from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor

from objectives.text.encodings import length_limit
from objectives.text.hyperparameters import KINDS
from objectives.text.text import Text
from objectives.text.tokenizers import BOS, PAD, UNKNOWN
from tests.objectives.text.texts_kit import make_text, params, reviews, write_reviews
from tests.tuner import studies
from tuner.assessment import decoded_metrics
from tuner.hyperparameters import build_space
from tuner.members import make_member
from tuner.spec import Training
from tuner.training import Cohort, CrossEntropy, Dataset, Member


def train(text: Text, dataset: Dataset, *, epochs: int, **changed: Any) -> Member:
    """Train one trial alone and return it with its best epoch's weights."""
    (member,) = train_all(text, dataset, [params(**changed)], epochs=epochs)
    return member


def train_all(text: Text, dataset: Dataset, trials: list[dict[str, Any]], *, epochs: int) -> list[Member]:
    training = Training(epochs=epochs)
    members = [make_member(text, dataset, one, training, number=i, seed=i) for i, one in enumerate(trials)]
    cohort = Cohort(dataset, decoded_metrics(text))
    for member in members:
        cohort.join(member)
    while len(cohort):
        cohort.epoch()
    return members


def score(text: Text, member: Member) -> float:
    assert member.dataset is not None
    part = member.dataset.validation
    metric = decoded_metrics(text)[0]
    with torch.no_grad():
        return float(metric(member.module.eval()(*part.inputs).unsqueeze(0), part.targets))


@pytest.mark.parametrize("network", ["transformer", "bag_of_embeddings"])
def test_reviews_are_told_apart(tmp_path: Path, network: str) -> None:
    text = make_text(source=write_reviews(tmp_path), target="sentiment")
    dataset = text.load()
    member = train(text, dataset, epochs=8, network=network, learning_rate=0.03)
    assert score(text, member) > 0.95


def test_stars_are_predicted_in_their_own_units(tmp_path: Path) -> None:
    text = make_text(source=write_reviews(tmp_path), target="stars", text="review")
    dataset = text.load()
    assert text.metric_names() == ["rmse"]
    member = train(text, dataset, epochs=15, network="bag_of_embeddings", learning_rate=0.03)
    assert score(text, member) < 0.6  # 1.5 is that of the mean


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_of_table_holds_texts(tmp_path: Path, form: str) -> None:
    frame, path = reviews(40), tmp_path / f"reviews.{form}"
    if form == "parquet":
        frame.write_parquet(path)
    elif form == "jsonl":
        frame.write_ndjson(path)
    else:
        frame.write_csv(path, separator="\t" if form == "tsv" else ",")
    text = make_text(source=str(path), target="sentiment")
    text.load()
    assert text.texts.column == "review"
    assert sorted(one for part in text.texts.texts.values() for one in part) == sorted(frame["review"].to_list())


def test_tokens_come_from_the_training_part_alone(tmp_path: Path) -> None:
    frame = (
        reviews(60)
        .with_row_index("i")
        .with_columns(
            split=pl.when(pl.col("i") < 40).then(pl.lit("training")).otherwise(pl.lit("validation")),
            review=pl.when(pl.col("i") < 40).then("review").otherwise(pl.lit("zyzzyva ") + pl.col("review")),
        )
    )
    frame.drop("i").write_csv(tmp_path / "split.csv")
    text = make_text(source=str(tmp_path / "split.csv"), target="sentiment", split_column="split", text="review")
    dataset = text.load()
    encoded = text.encode(dataset, params())
    assert "zyzzyva" not in text.encodings.tokenizer(params()).vocabulary
    assert encoded.validation.inputs[0][:, 1].eq(UNKNOWN).all()
    assert not encoded.training.inputs[0].eq(UNKNOWN).any()


def test_equal_encodings_are_one_object_and_others_are_not(tmp_path: Path) -> None:
    text = make_text(source=write_reviews(tmp_path), target="sentiment")
    dataset = text.load()
    first = text.encode(dataset, params())
    assert text.encode(dataset, params(learning_rate=0.1, depth=2)) is first
    for changed in ({"tokenizer": "character"}, {"vocabulary": 50}, {"max_length": 4}, {"lowercase": True}):
        assert text.encode(dataset, params(**changed)) is not first
    assert text.encode(dataset, params()) is first


def test_texts_are_cut_where_most_are_whole() -> None:
    assert length_limit([5] * 99 + [400]) == 400
    assert length_limit([5] * 995 + [400] * 5) == 5
    assert length_limit([9000] * 10) == 512
    assert length_limit([1]) == 1


def test_a_length_limit_is_kept(tmp_path: Path) -> None:
    text = make_text(source=write_reviews(tmp_path), target="sentiment")
    encoded = text.encode(text.load(), params(max_length=4))
    assert encoded.training.inputs[0].shape[1] == 4
    assert encoded.training.inputs[0][:, 0].eq(BOS).all()
    assert encoded.training.inputs[0].ne(PAD).all()


def test_every_combination_of_the_default_space_is_a_network(tmp_path: Path) -> None:
    text = make_text(source=write_reviews(tmp_path, 40), target="sentiment")
    dataset = text.load()
    space = build_space(text.hyperparameters(), {"vocabulary": [300]}, where="test")
    assert {"learning_rate", "depth", "optimizer", "batch_size", "l1", "l2", "tokenizer", "network"} <= set(
        space.searched
    )
    for heads in (2, 4, 8):
        for kind in KINDS:
            one = {**space.suggest(studies.usual_trial(space)), "heads": heads, "tokenizer": kind}
            network = text.network(one)
            assert network(*text.encode(dataset, one).validation.inputs).isfinite().all()


def test_embeddings_are_weights_for_the_penalties(tmp_path: Path) -> None:
    text = make_text(source=write_reviews(tmp_path, 40), target="sentiment")
    dataset = text.load()
    plain: dict[str, Any] = {"optimizer": "sgd", "momentum": 0.0, "nesterov": False, "gradient_clip": None}
    free = train(text, dataset, epochs=2, **plain)
    shrunk = train(text, dataset, epochs=2, **plain, l2=20.0)

    def embedding(member: Member) -> Tensor:
        return dict(member.module.named_parameters())["embedding.tokens.weight"]

    assert embedding(shrunk).norm() < 0.5 * embedding(free).norm()


def test_a_cohort_learns_what_each_trial_learns_alone(tmp_path: Path) -> None:
    text = make_text(source=write_reviews(tmp_path, 60), target="sentiment")
    dataset = text.load()
    plain: dict[str, Any] = {"optimizer": "sgd", "momentum": 0.5, "nesterov": False}
    trials = [
        params(**plain, learning_rate=0.1),
        params(**plain, learning_rate=0.03),
        params(**plain, learning_rate=0.2, tokenizer="bpe"),
    ]
    together = train_all(text, dataset, trials, epochs=2)
    for number, (member, one) in enumerate(zip(together, trials, strict=True)):
        alone = make_member(text, dataset, one, Training(epochs=2), number=number, seed=number)
        cohort = Cohort(dataset, decoded_metrics(text))
        cohort.join(alone)
        while len(cohort):
            cohort.epoch()
        torch.testing.assert_close(alone.row["weights"], member.row["weights"], rtol=1e-3, atol=1e-4)


def test_trials_of_one_shape_are_fused(tmp_path: Path) -> None:
    text = make_text(source=write_reviews(tmp_path, 60), target="sentiment")
    dataset = text.load()
    members = [
        make_member(text, dataset, params(learning_rate=0.001 * i), Training(epochs=1), number=i, seed=i)
        for i in range(1, 4)
    ]
    assert len({member.key(dataset) for member in members}) == 1


def test_dropout_is_learned_with(tmp_path: Path) -> None:
    text = make_text(source=write_reviews(tmp_path, 60), target="sentiment")
    dataset = text.load()
    members = train_all(text, dataset, [params(dropout=0.2), params(dropout=0.2)], epochs=2)
    assert all(member.epoch == 2 for member in members)


def test_rare_classes_can_weigh_more(tmp_path: Path) -> None:
    options = {"class_weights": {"good": 3.0}, "label_smoothing": 0.1}
    text = make_text(options, source=write_reviews(tmp_path), target="sentiment")
    text.load()
    loss = text.loss(params())
    assert isinstance(loss, CrossEntropy)
    assert loss.class_weights == (1.0, 3.0)
    assert loss.label_smoothing == 0.1


def test_what_was_found_is_told(tmp_path: Path) -> None:
    text = make_text(source=write_reviews(tmp_path), target="sentiment")
    text.load()
    told = text.describe()
    assert told["rows"] == {"training": 72, "validation": 24, "test": 24}
    assert told["text"]["column"] == "review"
    assert told["target"]["task"] == "classification"


def test_other_texts_are_other_data(tmp_path: Path) -> None:
    from tuner.preparation import fingerprint, same_data

    path = write_reviews(tmp_path)
    first = fingerprint(make_text(source=path, target="sentiment").load())
    assert same_data(first, fingerprint(make_text(source=path, target="sentiment").load()))
    frame = reviews()
    frame.with_columns(review=pl.col("review").str.replace("film", "movie")).write_csv(path)
    assert not same_data(first, fingerprint(make_text(source=path, target="sentiment").load()))
