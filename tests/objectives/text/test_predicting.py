"""Kept networks of texts answer new ones as the trained network answered those of the validation part."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.objectives.text.texts_kit import reviews
from tests.tuner import studies
from tests.tuner.models.predicting import ONE_TRIAL, Kept, in_parts, kept, validation
from tuner.errors import DataError, UsageError
from tuner.models.inference import load_model
from tuner.models.keeping import keep

SPACE: dict[str, Any] = {
    "network": "transformer",
    "depth": 1,
    "heads": 2,
    "head_width": 4,
    "positions": "learned",
    "tokenizer": "word",
    "vocabulary": 200,
    "learning_rate": 0.01,
    "optimizer": "adam",
    "batch_size": 16,
}


def text(folder: Path, target: str, **space: Any) -> Kept:
    frame = in_parts(reviews())
    frame.write_csv(folder / "all.csv")
    validation(frame).write_csv(folder / "new.csv")
    return kept(
        folder,
        objective={"name": "text"},
        data={"source": str(folder / "all.csv"), "target": target, "text": "review", "split_column": "part"},
        space=SPACE | space,
    )


@pytest.fixture(scope="module")
def sentiment(tmp_path_factory: pytest.TempPathFactory) -> tuple[Kept, Path]:
    folder = tmp_path_factory.mktemp("sentiment")
    return text(folder, "sentiment"), folder


def test_texts_are_answered_as_the_trained_network_did(sentiment: tuple[Kept, Path]) -> None:
    found, folder = sentiment
    predictions = found.model.predictions(folder / "new.csv", probabilities=True)
    shares = found.outputs().softmax(-1)
    assert predictions.frame["sentiment"].to_list() == [["bad", "good"][n] for n in shares.argmax(-1).tolist()]
    np.testing.assert_allclose(predictions.frame["p(good)"], shares[:, 1].numpy(), atol=1e-5)
    assert predictions.scores["accuracy"] == pytest.approx(found.rebuilt.scores["accuracy"])
    one_by_one = found.model.predict(folder / "new.csv", probabilities=True, batch_size=1)
    np.testing.assert_allclose(one_by_one["p(good)"], predictions.frame["p(good)"], atol=1e-5)


@pytest.mark.parametrize("space", [{"network": "bag_of_embeddings", "width": 8, "max_length": 6}, {"tokenizer": "bpe"}])
def test_stars_are_answered_in_their_own_units(tmp_path: Path, space: dict[str, Any]) -> None:
    found = text(tmp_path, "stars", **space)
    predictions = found.model.predictions(tmp_path / "new.csv")
    target = found.rebuilt.trainable.target  # type: ignore[attr-defined]
    wanted = found.outputs()[:, 0].double() * target.scales[0] + target.means[0]
    np.testing.assert_allclose(predictions.frame["stars"], wanted.numpy(), rtol=1e-5)
    assert predictions.scores["rmse"] == pytest.approx(found.rebuilt.scores["rmse"], rel=1e-4)


def test_a_row_without_a_text_keeps_its_line_and_a_longer_text_than_any_is_cut(sentiment: tuple[Kept, Path]) -> None:
    found, folder = sentiment
    texts = pl.read_csv(folder / "new.csv")["review"].to_list()[:2]
    predictions = found.model.predictions([texts[0], None, " ", texts[1], "superb " * 5000])
    answers = predictions.frame["sentiment"].to_list()
    assert answers[:4] == [found.model.predict(texts[:1])["sentiment"][0], None, None, answers[3]]
    assert answers[4] in ("good", "bad")
    assert predictions.faults == {1: "holds no text", 2: "holds no text"}


def test_no_texts_have_no_answers(sentiment: tuple[Kept, Path], tmp_path: Path) -> None:
    (tmp_path / "none.csv").write_text("review\n")
    assert sentiment[0].model.predict(tmp_path / "none.csv", probabilities=True).shape == (0, 3)


def test_rows_that_are_dicts_are_answered_as_their_texts_are(sentiment: tuple[Kept, Path]) -> None:
    found, folder = sentiment
    rows = pl.read_csv(folder / "new.csv").to_dicts()
    predictions = found.model.predictions(rows)
    assert predictions.frame.equals(found.model.predict([row["review"] for row in rows]))
    assert predictions.scored == len(rows)
    with pytest.raises(DataError, match=r"no column 'review'; did you mean 'reviw'\?"):
        found.model.predict([{"reviw": "A good one"}])


def test_the_column_of_texts_may_be_said_of_a_new_table(sentiment: tuple[Kept, Path]) -> None:
    found, folder = sentiment
    new = pl.read_csv(folder / "new.csv")
    model = load_model(str(found.place), settings=["data.text=said"])
    assert model.predict(new.rename({"review": "said"})).equals(found.model.predict(new))


def test_no_texts_are_a_column_of_texts(sentiment: tuple[Kept, Path]) -> None:
    columns = sentiment[0].model.predictions([]).columns
    assert columns is not None
    assert dict(columns.schema) == {"review": pl.String}


def test_a_file_of_one_column_is_enough(sentiment: tuple[Kept, Path], tmp_path: Path) -> None:
    found, folder = sentiment
    pl.read_csv(folder / "new.csv").select("review").write_csv(tmp_path / "one.csv")
    assert found.model.predict(tmp_path / "one.csv").equals(found.model.predict(folder / "new.csv"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("reviw\nA good one\n", r"new\.csv: no column 'review'; did you mean 'reviw'\?"),
        ("a,b\n1,2\n", r"no column 'review'; Columns: a, b"),
        ("", "is empty"),
    ],
)
def test_what_holds_no_such_texts_is_refused(
    sentiment: tuple[Kept, Path], tmp_path: Path, content: str, says: str
) -> None:
    (tmp_path / "new.csv").write_text(content)
    with pytest.raises(DataError, match=says):
        sentiment[0].model.predict(tmp_path / "new.csv")


def test_folders_of_files_are_answered_with_their_paths(tmp_path: Path) -> None:
    for row, (review, label, _) in enumerate(reviews(60).rows()):
        path = tmp_path / "all" / ("train" if row % 3 else "validation") / label / f"{row:03}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(review)
    found = kept(tmp_path, objective={"name": "text"}, data={"source": str(tmp_path / "all")}, space=SPACE)
    predictions = found.model.predictions(tmp_path / "all" / "validation")
    wanted = [["bad", "good"][number] for number in found.outputs().argmax(-1).tolist()]
    assert predictions.frame["class"].to_list() == wanted
    assert predictions.frame["file"][0].startswith("bad/")
    assert predictions.scores["accuracy"] == pytest.approx(found.rebuilt.scores["accuracy"])
    new = tmp_path / "new"
    (new / "inner").mkdir(parents=True)
    (new / "b.txt").write_text("A superb film")
    (new / "inner" / "a.txt").write_text("")
    loose = found.model.predictions(new)
    assert loose.frame["file"].to_list() == ["b.txt", "inner/a.txt"]
    assert (loose.faults, loose.scored) == ({1: "holds no text"}, 0)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="holds no texts"):
        found.model.predict(tmp_path / "nothing")
    table = pl.DataFrame({"number": [1, 2], "words": ["A superb and charming film", "A dreadful and poor film"]})
    assert found.model.predict(table)["class"].null_count() == 0


def test_what_was_fine_tuned_predicts_without_what_it_began_with(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("\n\n".join(reviews()["review"]))
    pretraining = studies.create(
        tmp_path,
        **ONE_TRIAL
        | {
            "name": "encoder",
            "objective": {"name": "pretraining"},
            "data": {"source": str(tmp_path / "notes.txt")},
            "space": {"depth": 1, "heads": 2, "head_width": 4, "positions": "learned", "max_length": 16},
            "training": {"epochs": 1},
        },
    )
    studies.work(pretraining)
    place = keep(pretraining).place
    with pytest.raises(UsageError, match=r"was pre-trained on texts without labels .* 'text' begins with"):
        load_model(place)
    reviews().write_csv(tmp_path / "all.csv")
    found = kept(
        tmp_path,
        objective={"name": "text", "pretrained": place},
        data={"source": str(tmp_path / "all.csv"), "target": "sentiment", "text": "review"},
        space={"learning_rate": 0.01},
    )
    answers = found.model.predict(tmp_path / "all.csv")
    shutil.rmtree(place)
    assert load_model(str(found.place)).predict(tmp_path / "all.csv").equals(answers)
    rows = found.model.predictions(tmp_path / "all.csv")
    assert rows.scored == 120
    texts = found.rebuilt.trainable.texts.texts["validation"]  # type: ignore[attr-defined]
    wanted = [["bad", "good"][number] for number in found.outputs().argmax(-1).tolist()]
    assert found.model.predict(list(texts))["sentiment"].to_list() == wanted
