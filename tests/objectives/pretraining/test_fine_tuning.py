from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.objectives.pretraining.conftest import SPACE, WORDS, pretraining
from tests.tuner import studies
from tuner.errors import DataError, SpecError, StudyConflictError, UsageError
from tuner.loading import LoadedTrainable, load_objective
from tuner.models.keeping import KeptModel, keep
from tuner.results import Results
from tuner.study import stored_spec
from tuner.workers.trainable_worker import TrainableWorker


def fine_tuning(folder: Path, **tables: Any) -> Results:
    """A study that tells words by their first letters, beginning with the model ``words``."""
    (folder / "labelled.csv").write_text(
        "label,text\n" + "\n".join(f"{'early' if word[0] in 'aei' else 'late'},{word}" for word in WORDS)
    )
    values: dict[str, Any] = {
        "name": "fine",
        "objective": {"name": "text", "pretrained": "words"},
        "data": {"source": str(folder / "labelled.csv"), "target": "label", "text": "text"},
        "training": {"epochs": 3},
        "budget": {"trials": 2},
    }
    return studies.create(folder, **values | tables)


def network(results: Results, **changes: Any) -> torch.nn.Module:
    worker = studies.make_worker(results)
    assert isinstance(worker, TrainableWorker)
    params = worker.space.suggest(studies.usual_trial(worker.space))
    return worker._make(0, {**params, **changes}).module


def test_it_begins_with_the_encoder_and_the_tokenizer_that_were_kept(tmp_path: Path, kept: KeptModel) -> None:
    results = fine_tuning(tmp_path)
    weights = load_file(f"{kept.place}/weights.safetensors")
    state = network(results).state_dict()
    taken = {name for name in state if name.startswith(("embedding.", "encoder."))}
    assert taken == weights.keys() - {"bias"}
    assert all(torch.equal(state[name], weights[name]) for name in taken)
    assert stored_spec(results).objective["pretrained"].startswith(f"{kept.place}#sha256=")
    studies.work(results)
    assert results.status().counts["failed"] == 0
    assert results.trial(0).attributes["validation"]["accuracy"] is not None


@pytest.mark.usefixtures("kept")
def test_what_the_encoder_fixes_leaves_the_space_and_fine_tuning_enters_it(tmp_path: Path) -> None:
    results = fine_tuning(tmp_path)
    loaded = load_objective(stored_spec(results), where="test")
    assert isinstance(loaded, LoadedTrainable)
    assert not {"network", "depth", "heads", "positions", "tokenizer", "vocabulary", "max_length"} & {*loaded.space}
    assert {"frozen", "layer_decay", "warmup", "dropout", "pooling", "learning_rate"} <= set(loaded.space.searched)
    with pytest.raises(SpecError, match="unknown hyperparameter 'depth'"):
        fine_tuning(tmp_path, name="other", space={"depth": 2})


def test_texts_are_as_long_as_they_are_unless_positions_were_learned(tmp_path: Path, words: Path) -> None:
    for positions, free in (("learned", False), ("rotary", True)):
        encoder = pretraining(tmp_path, words, name=positions, space=SPACE | {"positions": positions})
        studies.work(encoder)
        keep(encoder)
        results = fine_tuning(tmp_path, name=f"fine {positions}", objective={"name": "text", "pretrained": positions})
        worker = studies.make_worker(results)
        assert isinstance(worker, TrainableWorker)
        assert ("max_length" in worker.space) == free
        params = worker.space.suggest(studies.usual_trial(worker.space))
        tokens = worker.trainable.encode(worker.dataset, params).training.inputs[0]
        assert tokens.shape[1] == 1 + len(WORDS[0])
        studies.work(results)
        assert results.status().counts["finished"] == 2


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(("frozen", "learning"), [(0, 18), (1, 16), (2, 2), (9, 2)])
def test_frozen_counts_the_embedding_and_then_the_layers_of_the_encoder(
    tmp_path: Path, frozen: int, learning: int
) -> None:
    module = network(fine_tuning(tmp_path), frozen=frozen)
    names = [name for name, value in module.named_parameters() if value.requires_grad]
    assert any(name.startswith("embedding.") for name in names) == (frozen < 1)
    assert any(name.startswith("encoder.") for name in names) == (frozen < 2)
    assert {"head.weight", "head.bias"} <= {*names}
    assert len(names) >= min(learning, 2)


def test_a_model_that_does_not_serve_is_refused_in_one_line(tmp_path: Path, words: Path, kept: KeptModel) -> None:
    with pytest.raises(UsageError, match=r"there is no model 'wrods' .*; did you mean 'words'\?"):
        fine_tuning(tmp_path, objective={"name": "text", "pretrained": "wrods"})
    table = studies.create(tmp_path, name="iris", budget={"trials": 1}, space={"depth": 1})
    studies.work(table)
    keep(table)
    with pytest.raises(DataError, match="objective 'table' made this model; it must be one of objective 'pretraining'"):
        fine_tuning(tmp_path, objective={"name": "text", "pretrained": "iris"})
    onward = pretraining(tmp_path, words, name="onward", objective={"name": "pretraining", "learns": "next_token"})
    studies.work(onward)
    keep(onward)
    with pytest.raises(DataError, match="learned to foretell the next token"):
        fine_tuning(tmp_path, objective={"name": "text", "pretrained": "onward"})
    results = fine_tuning(tmp_path)
    Path(kept.place, "weights.safetensors").write_bytes(b"another")
    with pytest.raises(DataError, match=r"is damaged: weights\.safetensors"):
        studies.make_worker(results)


def test_a_model_that_was_replaced_is_noticed(tmp_path: Path, words: Path, kept: KeptModel) -> None:
    results = fine_tuning(tmp_path)
    other = pretraining(tmp_path, words, name="other", training={"epochs": 1})
    studies.work(other)
    keep(other, name=kept.name, replace=True)
    with pytest.raises(StudyConflictError, match="is not what it was when the study was created"):
        studies.make_worker(results)
