"""Scripts that people wrote for Optuna run unchanged."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tuner import studies
from tuner import sources, study
from tuner.results import Results

EXAMPLES = Path(__file__).parent / "examples"


def run_example(script: str, folder: Path, *settings: str, trials: int = 8) -> tuple[Results, str]:
    """Start an example in this process; return the study and why it ended."""
    url = f"sqlite:///{folder / 'tuner.db'}"
    spec, where = sources.read_spec(
        f"{EXAMPLES / script}", settings=["search.sampler=random", *settings], changes={"budget.trials": trials}
    )
    results = study.create(spec, where=where, storage=url)
    return results, studies.work(results)


def test_a_quadratic_function_is_minimised(tmp_path: Path) -> None:
    results, why = run_example("quadratic.py:objective", tmp_path)
    assert (results.name, why, results.directions) == ("quadratic", "budget spent", ["minimize"])
    best = results.best()[0]
    assert best.values["value"] == pytest.approx((best.params["x"] - 2) ** 2)


def test_a_space_that_is_defined_by_running_differs_from_trial_to_trial(tmp_path: Path) -> None:
    results, _ = run_example("either_classifier.py:objective", tmp_path)
    assert results.directions == ["maximize"]
    assert {frozenset(row.params) for row in results.trials()} == {
        frozenset({"classifier", "svc_c"}),
        frozenset({"classifier", "tree_depth"}),
    }
    assert results.best()[0].values["value"] == max(row.values["value"] for row in results.trials())  # type: ignore[type-var]
    assert all(row.attributes["spread"] >= 0 for row in results.trials())


def test_a_training_loop_of_ones_own_is_pruned(tmp_path: Path) -> None:
    results, _ = run_example("torch_pruning.py:objective", tmp_path, trials=12)
    counts = results.status().counts
    assert counts["pruned"] > 0
    assert counts["pruned"] + counts["finished"] == 12
    assert {len(results.epochs(row.number)) for row in results.trials(state="finished")} == {10}


def test_constraints_that_the_scripts_sampler_has_decide_which_trials_count(tmp_path: Path) -> None:
    results, _ = run_example("constrained.py:objective", tmp_path, trials=20)
    rows = results.trials()
    for row in rows:
        assert list(row.constraints.values()) == row.attributes["constraints"]
    assert any(not row.feasible for row in rows)
    assert results.best()
    assert all(row.feasible for row in results.best())


def test_constraints_that_the_objective_sets_decide_which_trial_is_best(tmp_path: Path) -> None:
    results, _ = run_example("budgeted.py:objective", tmp_path, trials=10)
    values = [row.values["value"] or 0.0 for row in results.trials()]
    assert max(values) > 1
    assert results.best()[0].values["value"] == max(value for value in values if value <= 1)


def test_a_class_with_a_call_is_an_objective(tmp_path: Path) -> None:
    results, why = run_example("budgeted.py:Objective", tmp_path, trials=3)
    assert (why, results.status().done) == ("budget spent", 3)


def test_a_callback_stops_the_whole_study(tmp_path: Path) -> None:
    results, why = run_example("budgeted.py:objective", tmp_path, "objective.callbacks=enough", trials=100)
    assert why == "the objective stopped it"
    last = results.trials()[-1].values["value"]
    assert last is not None
    assert 0.5 <= last <= 1
    assert results.status().done < 100
    assert studies.work(results) == "stopped"  # any other worker, too


def test_a_script_without_a_guard_ends_where_its_own_search_begins(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "tuner.notes"):
        results, _ = run_example("unguarded.py:objective", tmp_path, trials=3)
    assert results.directions == ["maximize"]
    assert results.status().done == 3
    assert "line 9 begins a search of its own and is left out" in caplog.text


def test_an_example_runs_from_the_command_line_and_is_resumed_from_another_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    script = tmp_path / "constrained.py"
    script.write_text((EXAMPLES / "constrained.py").read_text())
    url = f"sqlite:///{tmp_path / 'tuner.db'}"
    for folder, arguments in (
        (tmp_path, ["start", "constrained.py:objective", "--trials", "4"]),
        (tmp_path / "elsewhere", ["resume", "constrained", "--add", "2"]),
    ):
        command = [sys.executable, "-m", "tuner", *arguments, "--workers", "1", "--storage", url]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert len(study.load("constrained", storage=url).trials()) == 6
    assert all(len(row.constraints) == 2 for row in study.load("constrained", storage=url).trials())
