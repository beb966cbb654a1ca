from __future__ import annotations

import math
import signal
import textwrap
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch

from storage import open_storage
from tests.tuner import studies
from tuner import assessment, attributes, study
from tuner.errors import ObjectiveError, StudyConflictError
from tuner.models.keeping import rebuild
from tuner.results import Results
from tuner.training import predict
from tuner.training.randomness import order
from tuner.workers import trainable_worker
from tuner.workers.trainable_worker import TrainableWorker
from tuner.workers.worker import Leaving


def test_a_study_spends_its_budget_and_notes_what_each_trial_is_worth(tmp_path: Path) -> None:
    results = studies.create(tmp_path)
    assert studies.work(results) == "budget spent"
    rows = results.trials()
    assert [row.number for row in rows] == list(range(6))
    for row in rows:
        assert row.state in {"finished", "pruned"}
        epochs = results.epochs(row.number)
        assert [epoch.epoch for epoch in epochs] == list(range(1, len(epochs) + 1))
        assert {"training_loss", "validation_loss", "learning_rate", "accuracy"} <= epochs[0].scores.keys()
        noted = row.attributes
        assert noted[attributes.NETWORK_PARAMETERS] > 0
        assert noted[attributes.VERDICT] in {
            "generalises",
            "overfits",
            "overfits slightly",
            "overconfident",
            "underconfident",
            "learned nothing",
        }
        assert {"loss", "accuracy", "f1", "fpr", "roc_auc"} <= noted[attributes.VALIDATION].keys()
        assert noted[attributes.VALIDATION].keys() - {"confusion_matrix"} == noted[attributes.TRAINING].keys()


def test_a_trial_that_learned_from_few_samples_is_judged_by_these(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[int] = []  # so many samples chose the constant answer that the network is held against

    def best_constant(loss: Any, dataset: Any, *rest: Any) -> Any:
        answered.append(len(dataset.training))
        return assessment.best_constant(loss, dataset, *rest)

    monkeypatch.setattr(trainable_worker, "best_constant", best_constant)
    results = studies.create(tmp_path, space={"data_fraction": 0.1, "depth": 1}, budget={"trials": 1})
    studies.work(results)
    rebuilt = rebuild(results)
    worker = studies.make_worker(results)
    assert isinstance(worker, TrainableWorker)
    part = worker.dataset.training
    rows = order(rebuilt.member.recipe.seed, 0, len(part), 0.1)
    assert answered == [len(rows)] == [9]
    outputs = predict(rebuilt.member.module, part.gather(rows))
    loss = torch.nn.functional.cross_entropy(outputs, part.targets[rows])
    assert results.trial(0).attributes[attributes.TRAINING]["loss"] == pytest.approx(float(loss), rel=1e-4)


def test_a_finished_trial_is_told_the_value_of_its_best_epoch(tmp_path: Path) -> None:
    results = studies.create(tmp_path, search={"sampler": "random", "pruner": "none"})
    studies.work(results)
    for row in results.trials():
        curve = [epoch.scores["accuracy"] for epoch in results.epochs(row.number)]
        assert row.values["accuracy"] == max(curve)
        assert curve[row.attributes[attributes.BEST_EPOCH] - 1] == max(curve)
        assert row.attributes[attributes.VALIDATION]["accuracy"] == pytest.approx(max(curve))


def test_a_trial_depends_on_the_seed_and_its_number_alone(tmp_path: Path) -> None:
    results = []
    for name, places in (("one", 1), ("four", 4)):
        (tmp_path / name).mkdir()
        made = studies.create(tmp_path / name, search={"sampler": "random", "pruner": "none"})
        studies.work(made, places=places)
        results.append(made)
    one, four = results
    assert [row.params for row in one.trials()] == [row.params for row in four.trials()]
    for number, curve in studies.curves(one).items():
        assert curve == [pytest.approx(epoch, rel=1e-4, abs=1e-6) for epoch in studies.curves(four)[number]]


def test_a_configuration_that_diverges_is_told_as_such_and_the_study_goes_on(tmp_path: Path) -> None:
    results = studies.create(
        tmp_path,
        data={"source": "diabetes", "target": "progression"},
        space={"learning_rate": 90.0, "optimizer": "sgd", "momentum": 0.9, "schedule": "constant"},
        budget={"trials": 3},
    )
    assert studies.work(results) == "budget spent"
    assert results.status().counts["diverged"] == 3
    failure = results.trial(0).attributes[attributes.FAILURE]
    assert failure["class"] == attributes.DIVERGED
    assert "epoch" in failure["reason"]


def test_a_trial_that_trains_too_long_ends_with_its_epoch_and_says_so(tmp_path: Path) -> None:
    results = studies.create(
        tmp_path,
        training={"epochs": 100_000, "early_stopping": {"patience": 0}, "trial_timeout": "0.2s"},
        search={"sampler": "random", "pruner": "none"},
        budget={"trials": 2},
    )
    assert studies.work(results) == "budget spent"
    for row in results.trials():
        failure = row.attributes[attributes.FAILURE]
        assert failure["class"] == attributes.TIMED_OUT
        epochs = results.epochs(row.number)
        assert failure["reason"].endswith(f"after epoch {len(epochs)}")
        seconds = [epoch.scores["seconds"] for epoch in epochs]
        assert sum(seconds[:-1]) <= 0.2 < sum(seconds)


def test_a_function_that_runs_too_long_is_interrupted_and_the_study_goes_on(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import time\n\ndef objective(trial):\n    trial.report(1.0, 0)\n    while trial.number == 1:\n"
        "        try:\n            time.sleep(1)\n        except Exception:\n            pass\n    return 1.0\n"
    )
    results = studies.create(
        tmp_path,
        objective={"name": f"{tmp_path / 'own.py'}:objective"},
        data={},
        training={"trial_timeout": 0.3},
        budget={"trials": 3},
    )
    assert studies.work(results) == "budget spent"
    assert [row.state for row in results.trials()] == ["finished", "failed", "finished"]
    failure = results.trial(1).attributes[attributes.FAILURE]
    assert failure == {"class": attributes.TIMED_OUT, "reason": "longer than trial_timeout = 0.3 s"}
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_trial_given_back_while_a_worker_looks_for_work_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = studies.create(tmp_path, budget={"trials": 2})
    other = open_storage(str(results.storage.database.url))
    (claim,) = other.claim(results.study_id, 1)
    count = results.storage.unfinished

    def unfinished(study_id: int) -> int:
        other.release([claim.trial_id])  # now, between the claim that found nothing and this look
        return count(study_id)

    monkeypatch.setattr(results.storage, "unfinished", unfinished)
    assert studies.work(results) == "budget spent"
    assert results.storage.get_trial(claim.trial_id).state.is_finished()
    assert [row.number for row in results.trials()] == [0, 1]
    other.close()


def test_several_metrics_give_a_pareto_front(tmp_path: Path) -> None:
    results = studies.create(
        tmp_path, objective={"name": "table", "metric": ["accuracy", "log_loss"]}, budget={"trials": 8}
    )
    studies.work(results)
    front = results.best()
    assert front
    for row in results.trials():
        dominating = [
            better
            for better in front
            if better.values["accuracy"] > row.values["accuracy"] and better.values["log_loss"] < row.values["log_loss"]  # type: ignore[operator]
        ]
        assert row not in front or not dominating


def test_a_target_ends_the_study_before_its_budget(tmp_path: Path) -> None:
    results = studies.create(tmp_path, budget={"trials": 50, "target": 0.5})
    assert studies.work(results) == "target 0.5 reached"
    assert len(results.trials()) < 50


def test_no_better_trial_for_long_ends_the_study(tmp_path: Path) -> None:
    results = studies.create(tmp_path, budget={"trials": 50, "patience": 3}, training={"epochs": 1})
    assert studies.work(results) == "no better trial for 3 trials"
    assert len(results.trials()) < 50


def test_a_request_to_stop_reaches_the_worker(tmp_path: Path) -> None:
    results = studies.create(tmp_path)
    results.storage.request_stop(results.study_id)
    assert studies.work(results) == "stopped"
    assert not results.trials()


def test_a_worker_leaves_when_its_time_is_up(tmp_path: Path) -> None:
    results = studies.create(tmp_path)
    leaving = Leaving(results.storage, results.study_id, deadline=time.time() - 1)
    assert studies.work(results, leaving=leaving) == "time is up"
    assert not results.trials()


def test_data_that_changed_is_noticed(tmp_path: Path) -> None:
    data = tmp_path / "rows.csv"
    rows = [f"{i},{i % 7},{'yes' if i % 3 else 'no'}" for i in range(60)]
    data.write_text("a,b,label\n" + "\n".join(rows))
    results = studies.create(tmp_path, data={"source": str(data), "target": "label"})
    data.write_text("a,b,label\n" + "\n".join(rows[::-1]).replace(",3,", ",9,"))
    with pytest.raises(StudyConflictError, match="not what it was when the study was created"):
        studies.work(results)


OBJECTIVES = """
import optuna
import torch
from torch import nn
from tuner.trainable import Trainable
from tuner.training import CrossEntropy, Dataset, Part


def quadratic(trial):
    x = trial.suggest_float("x", -10, 10)
    return (x - 2) ** 2


def pruned(trial):
    for step in range(3):
        trial.report(trial.suggest_float("x", 0, 1), step)
    raise optuna.TrialPruned


def broken(trial):
    return 1 / 0


class Blobs(Trainable):
    def load(self):
        torch.manual_seed(self.seed)
        targets = torch.arange(200) % 2
        inputs = torch.randn(200, 2) + 3 * targets.unsqueeze(1)
        part = lambda a, b: Part(inputs=(inputs[a:b],), targets=targets[a:b])
        return Dataset(training=part(0, 120), validation=part(120, 200))

    def network(self, params):
        return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))

    def loss(self, params):
        return CrossEntropy()


class Broken(Blobs):
    def network(self, params):
        return self.misspelt


class Exits(Blobs):
    def network(self, params):
        raise SystemExit(7)
"""


@pytest.fixture
def objectives(tmp_path: Path) -> Path:
    path = tmp_path / "own_objectives.py"
    path.write_text(textwrap.dedent(OBJECTIVES))
    return path


def own(folder: Path, name: str, path: Path, **tables: Any) -> Results:
    training = {"epochs": 4} if name[0].isupper() else {}  # a plain function has no epochs of ours
    values: dict[str, Any] = {"data": {}, "training": training, "budget": {"trials": 5}}
    return studies.create(folder, objective={"name": f"{path}:{name}"}, **{**values, **tables})


def test_a_trainable_of_ones_own_is_tuned(tmp_path: Path, objectives: Path) -> None:
    results = own(tmp_path, "Blobs", objectives)
    assert studies.work(results) == "budget spent"
    best = results.best()[0].values["accuracy"]
    assert best is not None
    assert best > 0.9


def test_a_plain_function_is_tuned_as_optuna_would(tmp_path: Path, objectives: Path) -> None:
    results = own(tmp_path, "quadratic", objectives, budget={"trials": 20})
    assert studies.work(results) == "budget spent"
    assert len(results.trials()) == 20
    best = results.best()[0]
    assert best.values["value"] == pytest.approx((best.params["x"] - 2) ** 2)


def test_a_function_that_prunes_has_its_reports_kept(tmp_path: Path, objectives: Path) -> None:
    results = own(tmp_path, "pruned", objectives)
    studies.work(results)
    assert results.status().counts["pruned"] == 5
    assert [epoch.epoch for epoch in results.epochs(0)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "error"), [("broken", "ZeroDivisionError"), ("Broken", "AttributeError"), ("Exits", "SystemExit: 7")]
)
def test_the_same_error_in_the_first_trials_stops_the_study_with_its_traceback(
    tmp_path: Path, objectives: Path, name: str, error: str
) -> None:
    results = own(tmp_path, name, objectives)
    with pytest.raises(ObjectiveError, match=error) as caught:
        studies.work(results)
    assert "own_objectives.py" in caught.value.traceback
    assert "worker.py" not in caught.value.traceback
    assert results.status().counts["failed"] == 3
    assert results.trial(0).attributes[attributes.FAILURE]["class"] == attributes.OBJECTIVE_ERROR


def test_optuna_reads_the_study_while_knowing_nothing_of_the_tuner(tmp_path: Path) -> None:
    results = studies.create(tmp_path)
    studies.work(results)
    plain = optuna.load_study(study_name="quick", storage=f"sqlite:///{tmp_path / 'tuner.db'}")
    assert plain.best_value == results.best()[0].values["accuracy"]
    assert plain.metric_names == ["accuracy"]
    assert all(math.isfinite(value) for trial in plain.trials for value in trial.intermediate_values.values())


def test_a_studys_attributes_survive_in_json(tmp_path: Path) -> None:
    results = studies.create(tmp_path)
    again = study.load("quick", storage=f"sqlite:///{tmp_path / 'tuner.db'}")
    assert again.spec == results.spec


FAILS_ONCE = """
import torch
from torch import nn
from own_objectives import Blobs


class Sometimes(nn.Sequential):
    def forward(self, x):
        if self[0].weight.sum() > 0.5:
            raise ValueError("too large")
        return super().forward(x)


class Fails(Blobs):
    def network(self, params):
        return Sometimes(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
"""


def test_an_error_ends_its_own_trial_and_no_other_of_the_cohort(tmp_path: Path, objectives: Path) -> None:
    (tmp_path / "fails.py").write_text(FAILS_ONCE)
    results = own(tmp_path, "Fails", tmp_path / "fails.py", budget={"trials": 12}, search={"sampler": "random"})
    assert studies.work(results, places=4) == "budget spent"
    counts = results.status().counts
    assert counts["failed"] >= 1
    assert counts["finished"] + counts["pruned"] >= 1
    assert counts["failed"] + counts["finished"] + counts["pruned"] == 12
