from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from objectives.pretraining import Pretraining
from objectives.pretraining.locale_names import SEPARATOR, names_by_language, split_lists
from objectives.pretraining.network import LanguageModel
from objectives.text.datasets import load_built_in as load_labelled
from objectives.text.tokenizers import BOS, PAD
from objectives.transformer.shape import LayerShape
from tests.objectives.pretraining.conftest import SPACE, WORDS, pretraining
from tests.tuner import studies
from tuner import study_file
from tuner.errors import DataError
from tuner.models.keeping import KeptModel
from tuner.workers.trainable_worker import TrainableWorker


def make(source: Path | str, *, learns: str = "masked", **data: Any) -> Pretraining:
    options = Pretraining.Options(learns=learns)
    return Pretraining(options, Pretraining.Data(source=str(source), **data), seed=0)


@pytest.mark.parametrize("learns", ["masked", "next_token"])
def test_a_language_model_learns_more_than_how_often_each_token_occurs(tmp_path: Path, learns: str) -> None:
    (tmp_path / "words.txt").write_text("\n".join(WORDS))
    objective = {"name": "pretraining", "learns": learns, "mask_share": 0.3}
    results = pretraining(
        tmp_path, tmp_path / "words.txt", objective=objective, data={"source": str(tmp_path / "words.txt"),
        "validation": 0.2}, training={"epochs": 60}, space=SPACE | {"learning_rate": 1e-2, "head_width": 8}
    )  # fmt: skip
    studies.work(results)
    best = results.best()[0]
    assert best.values["perplexity"] is not None
    assert best.values["perplexity"] < 8
    assert best.attributes["verdict"] in ("generalises", "overfits slightly", "overfits")
    if learns == "masked":
        assert best.attributes["final"]["examples"][0].keys() == {"text", "hidden", "found out"}


def test_a_next_token_model_sees_only_what_came_before_and_padding_changes_nothing() -> None:
    shape = LayerShape(width=8, heads=2, feed_forward=8)
    for causal in (True, False):
        torch.manual_seed(0)
        model = LanguageModel(vocabulary=20, longest=8, layers=2, shape=shape, positions="learned", causal=causal)
        model.eval()
        one, other = torch.tensor([[BOS, 7, 8, 9]]), torch.tensor([[BOS, 7, 8, 15]])
        same = torch.allclose(model(one)[:, :3], model(other)[:, :3], atol=1e-6)
        assert same == causal
        padded = torch.tensor([[BOS, 7, 8, 9, PAD, PAD]])
        torch.testing.assert_close(model(padded)[:, :4], model(one), rtol=1e-5, atol=1e-6)


def test_the_tokenizer_is_trained_on_the_training_part_and_kept_with_the_network(kept: KeptModel, words: Path) -> None:
    tokenizer = json.loads(Path(kept.place, "tokenizer.json").read_text())
    objective = make(words)
    objective.load()
    assert set(tokenizer["vocabulary"][5:]) == set("".join(objective.texts.training))
    assert kept.scores["perplexity"] > 1


def test_a_trial_continues_with_the_masks_it_would_have_had(tmp_path: Path, words: Path) -> None:
    curves = []
    for name, stops in (("whole", 0), ("parts", 2)):
        (tmp_path / name).mkdir()
        results = pretraining(tmp_path / name, words, training={"epochs": 4}, search={"pruner": "none"})
        if stops:
            worker = studies.make_worker(results)
            assert isinstance(worker, TrainableWorker)
            worker._fill()
            for _ in range(stops):
                worker._train()
            worker.put_down()
        studies.work(results)
        curves.append([epoch.scores["training_loss"] for epoch in results.epochs(0)])
    assert curves[1] == pytest.approx(curves[0], rel=1e-5)


def test_texts_come_from_lines_paragraphs_files_folders_and_columns(tmp_path: Path, words: Path) -> None:
    paragraphs = "\n\n".join(f"{word}\n{word[::-1]}" for word in WORDS)
    (tmp_path / "folder").mkdir()
    for i, word in enumerate(WORDS):
        (tmp_path / "folder" / f"{i}.txt").write_text(f"{word}\nmore")
    (tmp_path / "table.csv").write_text("text,other\n" + "\n".join(f"{word},1" for word in WORDS))
    (tmp_path / "prose.txt").write_text(paragraphs)
    for source, unit, first in (
        (words, "line", "akra"),
        (tmp_path / "prose.txt", "paragraph", "akra\narka"),
        (tmp_path / "folder", "file", "akra\nmore"),
        (tmp_path / "table.csv", "line", "akra"),
    ):
        objective = make(source, unit=unit)
        objective.load()
        texts = objective.texts
        assert len(texts.training) + len(texts.validation) == len(WORDS)
        assert first in {*texts.training, *texts.validation}


@pytest.mark.parametrize(
    ("name", "content", "data", "said"),
    [
        ("", "", {}, "source is missing"),
        ("locale_name", "", {}, "did you mean 'locale_names'"),
        ("few.txt", "a\na\nb\n", {}, "2 different texts; pre-training needs 20 at least"),
        ("none.txt", None, {}, "no such file"),
        ("t.csv", "a,b\nx,y\n", {}, "which column holds the texts"),
        ("t.csv", "text,b\nx,y\n", {"text": "txt"}, "no column 'txt'; did you mean 'text'"),
        ("t.txt", b"\x81\x8d", {"encoding": "utf-8"}, "is not text in utf-8"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(
    tmp_path: Path, name: str, content: str | bytes | None, data: dict[str, Any], said: str
) -> None:
    source = str(tmp_path / name) if "." in name else name
    if content and "." in name:
        Path(source).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        make(source, **data).load()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_name_of_the_labelled_data_set_is_in_a_list_and_none_of_training_in_one_of_validation() -> None:
    names = names_by_language()
    lists = split_lists(names, validation=0.1, seed=0)
    training, validation = ({name for text in texts for name in text.split(SEPARATOR)} for texts in lists)
    assert not {*load_labelled("languages")[0]["name"]} & (training | validation)
    assert not training & validation
    assert training | validation == {name for its in names.values() for name in its}
    assert len(validation) == pytest.approx(0.1 * len(training | validation), abs=1)


def test_a_list_is_of_one_language_and_fits_what_the_built_in_study_sees_at_once() -> None:
    names = names_by_language()
    training, validation = split_lists(names, validation=0.1, seed=0)
    longest = study_file.read("locale_names")[0]["space"]["max_length"]
    for text in (*training, *validation):
        assert any({*text.split(SEPARATOR)} <= {*its} for its in names.values())
        assert len(text) + 2 <= longest or SEPARATOR not in text
