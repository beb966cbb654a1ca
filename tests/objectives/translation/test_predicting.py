"""Kept networks that translate write what the trained network wrote."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from objectives.translation.network import Transformer
from objectives.translation.translator import Translator
from tests.objectives.translation.kit import PARAMS, backwards
from tests.tuner.models.predicting import Kept, in_parts, kept, validation
from tuner.errors import DataError, UsageError
from tuner.models.inference import load_model

SPACE = {**PARAMS, "learning_rate": 0.01, "optimizer": "adam", "batch_size": 16}


@pytest.fixture(scope="module", params=[4, 1])
def words(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Kept, Path]:
    """A network that writes with a beam, and one that writes greedily."""
    folder = tmp_path_factory.mktemp("words")
    frame = in_parts(backwards(120))
    frame.write_csv(folder / "all.csv")
    validation(frame).write_csv(folder / "new.csv")
    data = {"source": str(folder / "all.csv"), "source_text": "word", "target": "backwards", "split_column": "part"}
    objective = {"name": "translation", "beam": request.param, "metric": "token_accuracy"}
    found = kept(folder, objective=objective, data=data, space=SPACE, training={"epochs": 25})
    return found, folder


def translator(found: Kept) -> Translator:
    member = found.rebuilt.member
    assert isinstance(member.module, Transformer)
    assert member.dataset is not None
    options = found.rebuilt.trainable.options
    return Translator.of(member.module, member.dataset, beam=options.beam, length_penalty=options.length_penalty)


def test_translations_are_those_of_the_trained_network(words: tuple[Kept, Path]) -> None:
    found, folder = words
    new = pl.read_csv(folder / "new.csv")
    wanted = translator(found)(new["word"].to_list())
    predictions = found.model.predictions(folder / "new.csv")
    assert predictions.frame.columns == ["backwards"]
    assert predictions.frame["backwards"].to_list() == wanted
    assert len(set(wanted)) > 5
    noted = found.rebuilt.row.attributes["final"]
    assert predictions.scored == noted["decoded"] == new.height
    assert predictions.scores["decoded_exact_match"] == pytest.approx(noted["decoded_exact_match"])
    assert predictions.scores["decoded_edit_distance"] == pytest.approx(noted["decoded_edit_distance"])


def test_no_texts_have_no_translations(words: tuple[Kept, Path]) -> None:
    frame = words[0].model.predict(pl.DataFrame(schema={"word": pl.String}))
    assert (frame.columns, frame.height) == (["backwards"], 0)


def test_pairs_that_are_dicts_are_translated_and_scored(words: tuple[Kept, Path]) -> None:
    found, folder = words
    pairs = pl.read_csv(folder / "new.csv").head(4).to_dicts()
    predictions = found.model.predictions(pairs)
    assert predictions.frame.equals(found.model.predict([pair["word"] for pair in pairs]))
    assert predictions.scored == 4


def test_columns_may_be_said_of_new_pairs_and_the_length_of_texts_may_not(words: tuple[Kept, Path]) -> None:
    found, folder = words
    new = pl.read_csv(folder / "new.csv").head(4)
    model = load_model(str(found.place), settings=["data.source_text=a", "data.target=b"])
    predictions = model.predictions(new.rename({"word": "a", "backwards": "b"}))
    assert predictions.frame.equals(found.model.predict(new))
    assert predictions.scored == 4
    with pytest.raises(
        UsageError, match=r"data\.longest = 2: the network reads \d+ characters of a text; leave it out"
    ):
        load_model(str(found.place), settings=["data.longest=2"]).predict(["abc"])


def test_neither_order_nor_batches_change_a_translation(words: tuple[Kept, Path]) -> None:
    found, folder = words
    new = pl.read_csv(folder / "new.csv")
    whole = found.model.predict(new)["backwards"].to_list()
    assert found.model.predict(new.reverse())["backwards"].to_list() == whole[::-1]
    assert found.model.predict(new, batch_size=3)["backwards"].to_list() == whole


def test_a_missing_text_keeps_its_line_and_a_long_one_is_cut(words: tuple[Kept, Path]) -> None:
    found, _ = words
    predictions = found.model.predictions(["abc", None, "abcdef" * 500])
    answers = predictions.frame["backwards"].to_list()
    assert answers[0] == found.model.predict(["abc"])["backwards"][0]
    assert (answers[1], predictions.faults) == (None, {1: "holds no text"})
    assert isinstance(answers[2], str)
    assert (predictions.scores, predictions.scored) == ({}, 0)


def test_what_is_no_text_to_translate_is_refused(words: tuple[Kept, Path], tmp_path: Path) -> None:
    model = words[0].model
    (tmp_path / "new.csv").write_text("wrd\nabc\n")
    with pytest.raises(DataError, match=r"new\.csv: no column 'word'; did you mean 'wrd'\?"):
        model.predict(tmp_path / "new.csv")
    with pytest.raises(UsageError, match="this model answers with texts"):
        model.predict(["abc"], probabilities=True)
    with pytest.raises(DataError, match="is a folder"):
        model.predict(tmp_path)
