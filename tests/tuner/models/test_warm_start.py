"""Networks that begin with weights of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.tuner import studies
from tuner import attributes, study
from tuner.errors import DataError, StudyConflictError, TunerError, UsageError
from tuner.models.warm_start import WarmStart, parsed, saved
from tuner.results import Results
from tuner.spec import parse_spec
from tuner.tryout import try_out
from tuner.workers.trainable_worker import TrainableWorker

OBJECTIVE = """
import torch
from torch import nn
from tuner.trainable import Trainable
from tuner.training import CrossEntropy, Dataset, Part


class Blobs(Trainable):
    def load(self):
        generator = torch.Generator().manual_seed(self.seed)
        targets = torch.arange(90) % 2
        inputs = torch.randn(90, 2, generator=generator) + 2.0 * targets.unsqueeze(1)
        part = lambda a, b: Part(inputs=(inputs[a:b],), targets=targets[a:b])
        return Dataset(training=part(0, 60), validation=part(60, 90))

    def network(self, params):
        return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))

    def loss(self, params):
        return CrossEntropy()
"""
BODY = {"0.weight": torch.arange(16.0).view(8, 2) / 10, "0.bias": torch.ones(8)}
HEAD = {"2.weight": torch.full((2, 8), 0.25), "2.bias": torch.zeros(2)}
WHOLE = BODY | HEAD


def make(folder: Path, weights: dict[str, Tensor] | None, *, model: dict[str, Any] | None = None, **tables: Any) -> Any:
    """Write an objective and weights, and create a study of them."""
    (folder / "own.py").write_text(OBJECTIVE)
    if weights is not None:
        save_file(weights, folder / "weights.safetensors")
    values: dict[str, Any] = {
        "data": {},
        "training": {"epochs": 2},
        "budget": {"trials": 2},
        "model": {"start_from": str(folder / "weights.safetensors"), **(model or {})},
        **tables,
    }
    return studies.create(folder, objective={"name": f"{folder / 'own.py'}:Blobs"}, **values)


def first_weights(results: Results, number: int = 0) -> dict[str, Tensor]:
    """What the network of a trial begins with."""
    worker = studies.make_worker(results)
    assert isinstance(worker, TrainableWorker)
    params = worker.space.suggest(studies.usual_trial(worker.space))
    return {name: value.detach() for name, value in worker._make(number, params).module.named_parameters()}


def test_every_network_begins_with_the_weights(tmp_path: Path) -> None:
    results = make(tmp_path, WHOLE)
    for number in (0, 1):
        torch.testing.assert_close(first_weights(results, number), WHOLE)
    assert studies.work(results) == "budget spent"
    assert results.status().counts["failed"] == 0


def test_a_new_head_begins_from_the_trials_own_chance_and_what_was_taken_is_noted(tmp_path: Path) -> None:
    results = make(tmp_path, BODY | {"old.weight": torch.ones(3)}, model={"strict": False})
    one, same, other = (first_weights(results, number) for number in (0, 0, 1))
    assert all(torch.equal(one[name], value) for name, value in BODY.items())
    assert torch.equal(one["2.weight"], same["2.weight"])
    assert not torch.equal(one["2.weight"], other["2.weight"])
    (note,) = results.storage.get_study_user_attrs(results.study_id)[attributes.DATA]["notes"]
    assert "begin with 2 tensors" in note
    assert "missing: 2.weight, 2.bias; not in the network: old.weight" in note
    studies.work(results)
    assert results.trial(0).attributes["warm_start"] == {
        "taken": 2,
        "new": ["2.weight", "2.bias"],
        "unused": ["old.weight"],
    }


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (BODY, "missing: 2.weight, 2.bias ([model] strict = false takes what fits)"),
        (WHOLE | {"3.bias": torch.ones(1)}, "not in the network: 3.bias"),
        (WHOLE | {"2.weight": torch.ones(3, 8)}, "of another shape: 2.weight (3×8 there, 2×8 here)"),
    ],
    ids=["missing", "extra", "shape"],
)
def test_weights_that_do_not_fit_are_refused_before_anything_is_written(
    tmp_path: Path, weights: dict[str, Tensor], said: str
) -> None:
    with pytest.raises(UsageError, match="do not fit the network") as caught:
        make(tmp_path, weights)
    assert said in str(caught.value)
    assert not (tmp_path / "tuner.db").exists()


def test_weights_of_which_nothing_fits_are_refused_even_when_they_need_not_all_fit(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing of the weights"):
        make(tmp_path, {"other": torch.ones(2)}, model={"strict": False})


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        make(tmp_path, None)
    (tmp_path / "weights.safetensors").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="are no safetensors file"):
        make(tmp_path, None)
    with pytest.raises(UsageError, match="such a file may hold code, which is never loaded"):
        make(tmp_path, None, model={"start_from": "model.pth"})
    with pytest.raises(UsageError, match=r"there is no model 'churn' in .*tuner-models; there are none yet"):
        make(tmp_path, None, model={"start_from": "churn"})


def test_a_file_that_has_changed_is_noticed(tmp_path: Path) -> None:
    results = make(tmp_path, WHOLE)
    save_file(WHOLE | {"2.bias": torch.ones(2)}, tmp_path / "weights.safetensors")
    with pytest.raises(StudyConflictError, match="is not what it was when the study was created"):
        studies.make_worker(results)


def test_a_path_is_kept_whole_and_a_url_serves_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    results = make(tmp_path, WHOLE, model={"start_from": "weights.safetensors"})
    assert study.stored_spec(results).model.start_from.startswith(f"{tmp_path}/weights.safetensors#sha256=")
    by_url = make(tmp_path, WHOLE, model={"start_from": f"local://{tmp_path}/weights.safetensors"}, name="by_url")
    torch.testing.assert_close(first_weights(by_url), WHOLE)


def test_frozen_weights_stay_those_of_the_file_also_when_a_trial_continues(tmp_path: Path) -> None:
    results = make(tmp_path, WHOLE, space={"frozen": 1}, training={"epochs": 6}, search={"pruner": "none"})
    worker = studies.make_worker(results)
    assert isinstance(worker, TrainableWorker)
    worker._fill()
    worker._train()
    worker.put_down()
    again = studies.make_worker(results)
    assert isinstance(again, TrainableWorker)
    again._fill()
    (running,) = again.running.values()
    assert running.member.epoch == 1
    while again.running:
        again._train()
    learned = dict(running.member.module.named_parameters())
    assert torch.equal(learned["0.weight"], BODY["0.weight"])
    assert not torch.equal(learned["2.weight"], HEAD["2.weight"])


def test_trying_a_study_out_begins_with_the_weights_too(tmp_path: Path) -> None:
    results = make(tmp_path, WHOLE)
    spec = study.stored_spec(results)
    frozen = parse_spec({**spec.model_dump(mode="json"), "space": {"frozen": 1}}, where="test")
    assert try_out(frozen, where="test").weights == 2 * 8 + 2
    save_file(BODY, tmp_path / "weights.safetensors")
    with pytest.raises(TunerError, match="not what it was"):
        try_out(frozen, where="test")


def test_a_plain_function_has_no_networks_to_start(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("def objective(trial):\n    return trial.suggest_float('x', 0, 1)\n")
    save_file(WHOLE, tmp_path / "weights.safetensors")
    with pytest.raises(UsageError, match="a plain function makes its own networks"):
        studies.create(
            tmp_path,
            objective={"name": f"{tmp_path / 'plain.py'}:objective"},
            data={},
            training={},
            model={"start_from": str(tmp_path / "weights.safetensors")},
        )


class Tied(nn.Module):
    """An output layer that is the table of vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 3)
        self.out = nn.Linear(3, 5, bias=False)
        self.out.weight = self.table.weight


def test_what_is_saved_fits_its_network_also_where_parameters_are_shared() -> None:
    one, other = Tied(), Tied()
    weights = parsed(saved(one), "here")
    assert list(weights) == ["table.weight"]
    WarmStart(where="here", weights=weights).apply(other)
    assert torch.equal(other.out.weight, one.table.weight)


def test_weights_that_fit_only_some_networks_of_the_space_are_refused_before_the_study_is_created(
    tmp_path: Path,
) -> None:
    data = {"source": "iris", "target": "species"}
    space = {"width": 16, "depth": 2}
    results = studies.create(tmp_path, data=data, space=space, budget={"trials": 1})
    studies.work(results)
    place = study.keep("quick", storage=f"sqlite:///{tmp_path / 'tuner.db'}").place
    model = {"start_from": place}
    for searched, said in (
        ({"depth": 2, "width": "8..16"}, "with width = 8, the weights .* -S space.width=16 searches"),
        ({"depth": "1..3", "width": 16}, "with depth = 1, the weights .* -S space.depth=2 searches"),
        ({"depth": 2, "width": 16, "normalization": ["none", "layer"]}, "with normalization = layer, the weights"),
    ):
        with pytest.raises(UsageError, match=said):
            studies.create(tmp_path, name="warm", data=data, space=searched, model=model)
    studies.create(tmp_path, name="warm", data=data, space={**space, "dropout": "0..0.5"}, model=model)
    studies.create(
        tmp_path, name="some", data=data, space={"depth": "1..3", "width": 16}, model={**model, "strict": False}
    )
