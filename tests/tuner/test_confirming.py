"""The best trials are trained again from fresh seeds, and the best of them is scored on the test part."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from statistics import fmean, stdev

import pytest
from optuna.trial import FixedTrial
from scipy.stats import t
from sklearn.metrics import accuracy_score

import tuner
from tests.tuner import studies
from tuner.confirmation import Confirmation
from tuner.confirming import _differ, confirm
from tuner.errors import NoFinishedTrialError, UsageError
from tuner.in_memory import train
from tuner.loading import LoadedTrainable, load_objective
from tuner.models.keeping import keep, rebuild
from tuner.results import Results
from tuner.training import predict
from tuner.training.randomness import derive


def storage(folder: Path) -> str:
    return f"sqlite:///{folder / 'tuner.db'}"


def searched(folder: Path, **tables: object) -> Results:
    """Return a study whose trials have ended."""
    results = studies.create(folder, **tables)
    studies.work(results)
    return results


@pytest.fixture(scope="module", autouse=True)
def _without_processes() -> Iterator[None]:
    """Trainings are done here; that workers share them, and are killed, tests of the command line see."""

    def work(repeated: Results, **_: object) -> None:
        studies.work(repeated, places=None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tuner.workers.running.run", work)
        patch.setattr("tuner.workers.running.standby", lambda *_: nullcontext())
        yield


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Confirmation]:
    """A study of iris whose two best trials were confirmed from three seeds each."""
    folder = tmp_path_factory.mktemp("confirmed")
    searched(folder, space={"learning_rate": "1e-3..1e-2:log"})  # larger ones magnify roundings within few epochs
    return folder, confirm("quick", top=2, seeds=3, workers=1, storage=storage(folder))


@pytest.fixture
def confirmed(first: tuple[Path, Confirmation], tmp_path: Path) -> tuple[Path, Confirmation]:
    """The same, of one's own."""
    shutil.copytree(first[0], tmp_path / "own")
    return tmp_path / "own", first[1]


def test_the_best_configurations_are_trained_again_from_seeds_of_their_own(first: tuple[Path, Confirmation]) -> None:
    folder, found = first
    results, again = (tuner.load(name, storage=storage(folder)) for name in ("quick", found.trials_in))
    best = results.best(2)
    assert {one.trial for one in found.candidates} == {row.number for row in best}
    trials = again.trials()
    assert [row.state for row in trials] == ["finished"] * 6
    for place, row in enumerate(best):
        own = trials[3 * place : 3 * place + 3]
        assert all(trial.params == row.params for trial in own)
        one = found.of(row.number)
        assert one is not None
        assert one.searched == row.values
        assert one.confirmed["accuracy"].scores == tuple(trial.values["accuracy"] for trial in own)
        curves = [
            tuple(epoch.scores["training_loss"] for epoch in source.epochs(number))
            for source, number in [(results, row.number), *((again, trial.number) for trial in own)]
        ]
        assert len(set(curves)) == 4, "each of the seeds is another one, and none is the search's"


def test_the_interval_of_fresh_seeds_is_students_and_the_best_mean_is_chosen(first: tuple[Path, Confirmation]) -> None:
    _, found = first
    for one in found.candidates:
        scores = one.confirmed["accuracy"].scores
        expected = t.ppf(0.975, 2) * stdev(scores) / math.sqrt(3)
        assert one.confirmed["accuracy"].half_width == (pytest.approx(expected) if expected else None)
        assert fmean(scores) <= found.chosen.confirmed["accuracy"].mean
    assert found.chosen.as_good


def test_the_test_part_scores_the_chosen_ones_networks(first: tuple[Path, Confirmation]) -> None:
    folder, found = first
    results = tuner.load("quick", storage=storage(folder))
    spec = results.spec
    assert spec is not None
    loaded = load_objective(spec, where="test")
    assert isinstance(loaded, LoadedTrainable)
    dataset = loaded.trainable.load()
    assert dataset.test is not None
    assert found.test_samples == len(dataset.test)
    place = [row.number for row in results.best(2)].index(found.chosen.trial)
    expected = []
    for number in range(3 * place, 3 * place + 3):
        values = dict(results.trial(found.chosen.trial).params)
        params = loaded.space.suggest(FixedTrial(values))
        seed = derive(spec.seed, "confirm", number)
        module = train(loaded.trainable, dataset, params, spec.training, number=number, seed=seed).module
        answers = predict(module, dataset.test.feeds).argmax(-1)
        expected.append(accuracy_score(dataset.test.targets, answers))
    assert found.test["accuracy"].scores == pytest.approx(expected)
    half_width = found.test["accuracy"].half_width
    assert half_width is not None
    mean = fmean(expected)
    by_samples = 1.96 * math.sqrt(mean * (1 - mean) / len(dataset.test))
    by_seeds = t.ppf(0.975, 2) * stdev(expected) / math.sqrt(3)
    assert by_samples / 2 < half_width < 2 * math.hypot(by_samples, by_seeds)


def test_scores_that_are_equal_tell_nothing_of_their_spread(tmp_path: Path) -> None:
    rows = ["x,y,part", *(f"{i % 2},{i % 2},{part}" for part in ("training", "validation", "test") for i in range(40))]
    (tmp_path / "easy.csv").write_text("\n".join(rows))
    data = {"source": str(tmp_path / "easy.csv"), "target": "y", "split_column": "part"}
    searched(tmp_path, data=data, training={"epochs": 10}, space={"learning_rate": 0.01}, budget={"trials": 1})
    found = confirm("quick", seeds=2, workers=1, storage=storage(tmp_path))
    for estimate in (found.chosen.confirmed["accuracy"], found.test["accuracy"]):
        assert (estimate.mean, estimate.half_width) == (1.0, None)
    loss = found.test["log_loss"].half_width
    assert loss is not None
    assert loss > 0


def test_what_was_found_stays_with_the_study_and_is_not_found_twice(confirmed: tuple[Path, Confirmation]) -> None:
    folder, found = confirmed
    results = tuner.load("quick", storage=storage(folder))
    assert results.confirmation == found
    assert results.chosen().number == found.chosen.trial
    again = confirm("quick", top=2, seeds=3, workers=1, storage=storage(folder))
    assert again == found
    assert again.looks == 1
    other = confirm("quick", top=1, seeds=2, workers=1, storage=storage(folder))
    assert [one.trial for one in other.candidates] == [results.best()[0].number]
    assert (other.looks, len(tuner.load(other.trials_in, storage=storage(folder)).trials())) == (2, 2)


def test_the_networks_of_the_chosen_one_are_scored_together_too(confirmed: tuple[Path, Confirmation]) -> None:
    folder, found = confirmed
    again = tuner.load(found.trials_in, storage=storage(folder))
    rebuilt = [rebuild(again, trial=number) for number in found.trainings]
    assert [one.row.params for one in rebuilt] == [tuner.load("quick", storage=storage(folder)).chosen().params] * 3
    part = rebuilt[0].dataset.test
    assert part is not None
    shares = sum(predict(one.member.module, part.feeds).double().softmax(-1) for one in rebuilt)
    answers = shares.argmax(-1)  # type: ignore[union-attr]
    assert found.together["accuracy"].mean == accuracy_score(part.targets.tolist(), answers.tolist())
    assert found.together.keys() == found.test.keys()
    assert found.together["log_loss"].scores == (found.together["log_loss"].mean,)
    kept = keep(again, trials=found.trainings, name="together")
    assert kept.trials == list(found.trainings)
    assert kept.epochs_trained == 0, "their checkpoints are left for it"
    ids = {again.storage.get_trial_id_from_study_id_trial_number(again.study_id, n) for n in found.trainings}
    assert {record.trial_id for record in again.storage.study_checkpoints(again.study_id)} == ids


def test_what_they_score_together_is_left_out_where_their_objective_cannot_tell_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def combine(*_: object) -> None:
        raise ValueError("not these")

    monkeypatch.setattr("objectives.tables.table.Table.combine", combine, raising=False)
    searched(tmp_path, budget={"trials": 1})
    found = confirm("quick", top=1, seeds=2, workers=1, storage=storage(tmp_path))
    assert (found.together, len(found.test) > 3) == ({}, True)
    assert "Table.combine failed, so that nothing tells what they score together: ValueError: not these" in caplog.text


def test_a_confirmation_of_an_earlier_version_is_read(first: tuple[Path, Confirmation]) -> None:
    _, found = first
    values = found.to_json()
    del values["together"], values["trainings"]
    assert Confirmation.from_json(values).test == found.test


def test_the_chosen_network_is_the_one_that_is_kept(confirmed: tuple[Path, Confirmation]) -> None:
    folder, found = confirmed
    results = tuner.load("quick", storage=storage(folder))
    kept = keep(results)
    assert kept.trials == [found.chosen.trial]
    card = json.loads(Path(kept.place, "card.json").read_text())
    assert card["confirmation"]["test"]["accuracy"]["mean"] == found.test["accuracy"].mean


def test_a_better_trial_found_later_is_not_held_back_by_an_older_confirmation(tmp_path: Path) -> None:
    results = searched(tmp_path, training={"epochs": 1}, budget={"trials": 3})
    confirm("quick", top=1, seeds=1, workers=1, storage=storage(tmp_path))
    confirmation = results.confirmation
    assert confirmation is not None
    results.storage.set_study_user_attr(
        results.study_id,
        "tuner:confirmation",
        {**confirmation.to_json(), "candidates": [{**confirmation.candidates[0].to_json(), "trial": 99}]},
    )
    assert results.chosen().number == results.best()[0].number


def test_who_deletes_a_study_deletes_what_confirms_it(confirmed: tuple[Path, Confirmation]) -> None:
    folder, _ = confirmed
    tuner.delete("quick", storage=storage(folder))
    assert tuner.names(storage=storage(folder)) == []


def test_estimators_are_fitted_again(tmp_path: Path) -> None:
    forest = {"objective": {"name": "RandomForestClassifier"}, "space": {"n_estimators": "2..5"}, "training": {}}
    searched(tmp_path, **forest, budget={"trials": 3})
    found = confirm("quick", top=1, seeds=3, workers=1, storage=storage(tmp_path))
    assert len(set(found.test["log_loss"].scores)) > 1, "another seed is another forest"
    assert found.test_samples == 30


def test_without_a_test_part_the_validation_part_alone_speaks(tmp_path: Path) -> None:
    data = {"source": "iris", "target": "species", "test": 0.0}
    searched(tmp_path, data=data, training={"epochs": 2}, budget={"trials": 1})
    found = confirm("quick", seeds=2, workers=1, storage=storage(tmp_path))
    assert (dict(found.test), found.test_samples, found.looks) == ({}, 0, 0)
    assert len(found.chosen.confirmed["accuracy"].scores) == 2


def test_changed_data_is_refused(tmp_path: Path) -> None:
    rows = ["x,y", *(f"{i % 7}.5,{i % 2}" for i in range(60))]
    (tmp_path / "rows.csv").write_text("\n".join(rows))
    data = {"source": str(tmp_path / "rows.csv"), "target": "y"}
    searched(tmp_path, data=data, training={"epochs": 1}, budget={"trials": 1})
    (tmp_path / "rows.csv").write_text("\n".join([*rows, "7,1"]))
    with pytest.raises(tuner.TunerError, match="is not what it was when the study was created"):
        confirm("quick", seeds=1, workers=1, storage=storage(tmp_path))


def test_a_confirmation_that_was_stopped_is_none_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = searched(tmp_path, training={"epochs": 1}, budget={"trials": 1})

    def stopped(repeated: Results, **_: object) -> None:
        studies.make_worker(repeated, places=2).advance()

    monkeypatch.setattr("tuner.workers.running.run", stopped)
    with pytest.raises(tuner.TunerError, match="was stopped with 2 of 5 trainings done; confirm it again"):
        confirm("quick", workers=1, storage=storage(tmp_path))
    assert results.confirmation is None


def test_what_cannot_be_confirmed_is_refused(confirmed: tuple[Path, Confirmation], tmp_path: Path) -> None:
    folder, _ = confirmed
    with pytest.raises(UsageError, match="--top 0: at least 1"):
        confirm("quick", top=0, storage=storage(folder))
    with pytest.raises(UsageError, match="--seeds 0: at least 1"):
        confirm("quick", seeds=0, storage=storage(folder))
    with pytest.raises(UsageError, match="confirms study 'quick' itself"):
        confirm("quick.confirm", storage=storage(folder))
    studies.create(tmp_path)
    with pytest.raises(NoFinishedTrialError):
        confirm("quick", storage=storage(tmp_path))
    studies.create(tmp_path, name="quick.confirm")
    studies.work(tuner.load("quick", storage=storage(tmp_path)))
    with pytest.raises(UsageError, match="does not confirm 'quick'; delete it first"):
        confirm("quick", storage=storage(tmp_path))


def test_equal_scores_are_compared_with_others_without_a_warning() -> None:
    assert not _differ([0.9, 0.9, 0.9], [0.9, 0.9, 0.95])
    assert _differ([0.9, 0.9, 0.9], [0.5, 0.51, 0.52])
