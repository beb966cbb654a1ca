from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from storage import SQLStorage
from tests.tuner import studies
from tuner import attributes, study
from tuner.amending import amend
from tuner.confirming import _confirming, confirm
from tuner.errors import UsageError
from tuner.results import Results


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'tuner.db'}"


def amended(folder: Path, **changes: Any) -> Results:
    return amend("quick", storage=url(folder), **changes)


def budgets(folder: Path) -> tuple[int | None, int | None]:
    """What workers go by, and what the spec says."""
    results = study.load("quick", storage=url(folder))
    assert results.spec is not None
    return results.storage.get_budget(results.study_id), results.spec.budget.trials


@pytest.mark.parametrize(
    ("ours", "budget", "patience"),
    [
        ({"settings": ["budget.patience=9"]}, 11, 9),
        ({"settings": ["space.width=8..512", "budget.patience=9"]}, 11, 9),
        ({"trials": 20}, 20, None),
        ({"add": 2}, 13, None),
    ],
)
def test_what_two_change_at_the_same_time_is_changed_by_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ours: dict[str, Any], budget: int, patience: int | None
) -> None:
    studies.create(tmp_path)
    amend_study = SQLStorage.amend_study

    def later(storage: SQLStorage, study_id: int, change: Any) -> None:
        monkeypatch.setattr(SQLStorage, "amend_study", amend_study)
        amended(tmp_path, add=5)
        amended(tmp_path, settings=["budget.target=0.99"])
        storage.amend_study(study_id, change)

    monkeypatch.setattr(SQLStorage, "amend_study", later)
    spec = amended(tmp_path, **ours).spec
    assert spec is not None
    assert (spec.budget.target, spec.budget.patience) == (0.99, patience)
    assert budgets(tmp_path) == (budget, budget)


def test_a_budget_that_nobody_speaks_of_stays(tmp_path: Path) -> None:
    results = studies.create(tmp_path)
    results.storage.set_budget(results.study_id, 50)
    amended(tmp_path, settings=["budget.target=0.99"])
    assert budgets(tmp_path)[0] == 50
    file = tmp_path / "quick.toml"
    file.write_text('search.sampler = "random"\ndata = {source = "iris", target = "species"}\ntraining.epochs = 6\n')
    amended(tmp_path, source=str(file))
    assert budgets(tmp_path)[0] == 50
    file.write_text(file.read_text() + "budget.trials = 60\n")
    amended(tmp_path, source=str(file))
    assert budgets(tmp_path) == (60, 60)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trials": 1}, "--trials 1: study 'quick' has 2 trials already; --add N gives it N more"),
        ({"settings": ["budget.trials=1"]}, "[budget] trials = 1: study 'quick' has 2 trials already; --add N gives"),
    ],
)
def test_a_budget_below_what_has_begun_is_refused_whichever_way_it_is_written(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    results = studies.create(tmp_path)
    results.storage.claim(results.study_id, 2)
    with pytest.raises(UsageError) as caught:
        amended(tmp_path, **changes)
    assert str(caught.value).startswith(said)
    assert budgets(tmp_path) == (6, 6)


def test_a_device_that_is_not_there_changes_nothing_and_another_takes_its_place(tmp_path: Path) -> None:
    studies.create(tmp_path, training={"epochs": 2, "device": "cuda"})
    with pytest.raises(UsageError, match="cuda:9"):
        study.resume("quick", settings=["training.device=cuda:9"], storage=url(tmp_path))
    spec = study.load("quick", storage=url(tmp_path)).spec
    assert spec is not None
    assert spec.training.device == "cuda"
    results = study.resume("quick", settings=["training.device=cpu"], workers=1, storage=url(tmp_path))
    assert results.status().counts["finished"] > 0


def test_the_timeout_of_a_run_is_not_stored(tmp_path: Path) -> None:
    studies.create(tmp_path, training={"epochs": 2})
    results = study.resume("quick", timeout="0.001s", workers=1, storage=url(tmp_path))
    assert results.status().stopped == "time is up"
    spec = study.load("quick", storage=url(tmp_path)).spec
    assert spec is not None
    assert spec.budget.timeout is None
    assert study.resume("quick", workers=1, storage=url(tmp_path)).status().stopped == "budget spent"


FIXED = {"depth": 2, "dropout": 0.0, "width": 16, "learning_rate": "1e-3..1e-2:log"}
"""Two of them are searched later on."""
WIDER = ["space.depth=1..4", "space.dropout=0..0.5"]


def test_trials_keep_the_values_that_were_fixed_when_these_are_searched(tmp_path: Path) -> None:
    results = studies.create(tmp_path, space=FIXED)
    worker = studies.make_worker(results, places=2)
    for _ in range(3):
        worker.advance()
    worker.put_down()  # two trials are interrupted, in their third epoch
    before = studies.curves(results)
    studies.work(amended(tmp_path, settings=WIDER), places=2)
    results = study.load("quick", storage=url(tmp_path))
    old, new = results.trials()[:2], results.trials()[2:]
    assert [(row.params["depth"], row.params["dropout"], row.state) for row in old] == [(2, 0.0, "finished")] * 2
    assert len({row.params["depth"] for row in new}) > 1
    assert all(row.params["dropout"] > 0 for row in new)
    (tmp_path / "uninterrupted").mkdir()
    uninterrupted = studies.create(tmp_path / "uninterrupted", space=FIXED)
    studies.work(uninterrupted, places=2)
    for number, curve in before.items():
        assert len(curve) == 3
        whole = studies.curves(results)[number]
        assert whole[:3] == curve
        assert [epoch["accuracy"] for epoch in whole] == [
            epoch["accuracy"] for epoch in studies.curves(uninterrupted)[number]
        ]


def test_a_network_from_before_is_kept_and_confirmed_as_it_was(tmp_path: Path) -> None:
    results = studies.create(tmp_path, space=FIXED, budget={"trials": 1})
    studies.work(results)
    results = amended(tmp_path, settings=WIDER, add=1)
    kept = study.keep("quick", trial=0, storage=url(tmp_path))
    assert kept.scores == {"accuracy": results.trial(0).values["accuracy"]}
    assert results.storage.get_trial(results.storage.get_trial_id_from_study_id_trial_number(1, 0)).params["depth"] == 2
    first = _confirming(study.stored_spec(results), [results.trial(0)], 2).search.first
    assert first == [dict(results.trial(0).params)] * 2
    assert {"depth": 2, "dropout": 0.0}.items() <= first[0].items()


def test_what_workers_hold_fixed_is_not_searched_before_they_leave(tmp_path: Path) -> None:
    results = studies.create(tmp_path, space=FIXED)
    worker = results.storage.register_worker(results.study_id, name="busy")
    with pytest.raises(UsageError, match=r"space\.depth is fixed for the workers .* `tuner stop quick`"):
        amended(tmp_path, settings=WIDER)
    amended(tmp_path, settings=["space.learning_rate=1e-4..1e-1:log"])
    results.storage.unregister_worker(worker)
    spec = amended(tmp_path, settings=WIDER).spec
    assert spec is not None
    assert spec.space["depth"]["high"] == 4


def test_a_trial_that_does_not_say_what_it_held_is_not_trained_again_as_another(tmp_path: Path) -> None:
    results = studies.create(tmp_path, space=FIXED, budget={"trials": 1})
    studies.work(results)
    stored = study.stored_spec(results)
    without = stored.model_copy(update={"space": {**stored.space, "depth": {"low": 1, "high": 4}}})
    attributes.write_spec(results.storage, results.study_id, without)
    for train_again in (study.keep, confirm):
        with pytest.raises(UsageError, match="trial 0 has no value of 'depth', which the study searches"):
            train_again("quick", storage=url(tmp_path))


def test_workers_that_are_dead_hold_nothing_fixed(tmp_path: Path) -> None:
    results = studies.create(tmp_path, space=FIXED)
    storage = f"sqlite:///{tmp_path / 'tuner.db'}"
    code = f"import storage; print(storage.open_storage({storage!r}).register_worker({results.study_id}, name='dead'))"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    assert results.storage.list_workers(results.study_id)
    assert amended(tmp_path, settings=WIDER).spec is not None
