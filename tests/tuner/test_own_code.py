"""A person's own code: what is imported, what is refused, and what is shown when it fails."""

from __future__ import annotations

import logging
import textwrap
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.tuner import studies
from tuner import attributes, sources
from tuner.errors import ObjectiveError, TunerError
from tuner.loading import load_objective
from tuner.results import Results
from tuner.scripts import read_script
from tuner.spec import StudySpec, parse_spec
from tuner.tryout import try_out

MINE = """
import functools, json
import optuna

def both(trial):
    if trial.number:
        return 1.0, 2.0
    return trial.suggest_float("x", 0, 1), 2.0

def hidden_pair(trial):
    pair = (1.0, 2.0)
    return pair

def takes_none():
    return 1.0

def power(trial, power):
    return trial.suggest_float("x", -1, 1) ** power

square = functools.partial(power, power=2)
absolute = lambda trial: abs(trial.suggest_float("x", -1, 1))
number = 3

class Needs:
    def __init__(self, low):
        self.low = low
    def __call__(self, trial):
        return trial.suggest_float("x", self.low, 1)

class Mute:
    pass

class Suite:
    @staticmethod
    def inner(trial):
        return trial.suggest_float("x", 0, 1)

def forgets(trial):
    trial.suggest_float("x", 0, 1)

def leaves(trial):
    raise SystemExit(3)

def huge(trial):
    return 10 ** 400

def reads(trial):
    return parse("{")

def parse(text):
    return json.loads(text)

def text(trial):
    return "0.5" if trial.number == 2 else 1.0

def sometimes_a_pair(trial):
    pair = (1, 2)
    return pair if trial.number == 2 else 1.0

def failing(study, trial):
    raise RuntimeError("called back")
"""


READS_ARGUMENTS = """
import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=3)
wanted = parser.parse_args().epochs

def objective(trial):
    return trial.suggest_float("x", 0, 1) + wanted
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(textwrap.dedent(MINE))
    return path


def create(folder: Path, name: str, **objective: Any) -> Results:
    tables: dict[str, Any] = {"data": {}, "training": {}, "objective": {"name": f"{folder / 'mine.py'}:{name}"}}
    tables["objective"] |= objective
    return studies.create(folder, **tables)


@pytest.mark.parametrize("name", ["square", "absolute", "Suite.inner"])
def test_whatever_is_called_with_a_trial_is_an_objective(tmp_path: Path, mine: Path, name: str) -> None:
    results = create(tmp_path, name)
    assert studies.work(results) == "budget spent"
    assert results.status().counts["finished"] == 6


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("both", "the objective returns 2 values, but the study has one direction; say for each whether to minimize"),
        ("takes_none", "an objective is called with one argument, the trial"),
        ("number", "it is of type int; an objective is a function or a Trainable"),
        ("Needs", "missing a required argument: 'low'; make one in its file, `objective = Needs(…)`, and name that"),
        ("Mute", "a class without __call__"),
        ("Suite.iner", "no attribute 'iner'; did you mean 'inner'?"),
        ("sqare", "no attribute 'sqare'; did you mean 'square'?"),
    ],
)
def test_what_is_no_objective_is_refused_before_a_study_is_made(
    tmp_path: Path, mine: Path, name: str, line: str
) -> None:
    with pytest.raises(TunerError) as caught:
        create(tmp_path, name)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "tuner.db").exists()


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ({"training": {"epochs": 5}}, "[training] epochs: a plain function trains in its own way and heeds device and"),
        ({"training": {"early_stopping": {"patience": 3}}}, "[training] early_stopping: a plain function trains in"),
        ({"data": {"source": "iris"}}, "[data]: a plain function has none; it defines its own by running"),
    ],
)
def test_what_a_function_does_not_heed_is_refused_by_start_and_check(
    tmp_path: Path, mine: Path, table: dict[str, Any], line: str
) -> None:
    tables = {"name": "quick", "objective": {"name": f"{mine}:square"}, **table}
    with pytest.raises(TunerError) as caught:
        studies.create(tmp_path, **{"data": {}, "training": {}, **tables})
    assert line in str(caught.value)
    with pytest.raises(TunerError) as caught:
        try_out(parse_spec(tables, where="test"), where="test")
    assert line in str(caught.value)
    assert not (tmp_path / "tuner.db").exists()


def test_several_values_that_only_running_shows_end_the_study_with_what_to_write(tmp_path: Path, mine: Path) -> None:
    results = create(tmp_path, "hidden_pair")
    with pytest.raises(ObjectiveError, match=r"-S objective\.direction=minimize,minimize, and start it under another"):
        studies.work(results)
    assert results.status().done == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("text", "ValueError: the objective returned '0.5', a text and no number"),
        ("sometimes_a_pair", "ValueError: the objective returns 2 values, but the study has one direction; say for"),
    ],
)
def test_an_odd_value_is_the_failure_of_its_trial_and_the_study_goes_on(
    tmp_path: Path, mine: Path, name: str, reason: str
) -> None:
    results = create(tmp_path, name)
    assert studies.work(results) == "budget spent"
    assert [row.state for row in results.trials()] == ["finished"] * 2 + ["failed"] + ["finished"] * 3
    failure = results.trial(2).attributes[attributes.FAILURE]
    assert failure["class"] == attributes.OBJECTIVE_ERROR
    assert failure["reason"].startswith(reason)


def test_trying_a_function_finds_what_a_study_would(mine: Path) -> None:
    spec, where = sources.read_spec(f"{mine}:hidden_pair")
    with pytest.raises(ObjectiveError, match=r"2 values, but the study has one direction"):
        try_out(spec, where=where)


def test_trying_a_function_that_exits_says_so(mine: Path) -> None:
    spec, where = sources.read_spec(f"{mine}:leaves")
    with pytest.raises(ObjectiveError, match="the objective failed: SystemExit: 3") as caught:
        try_out(spec, where=where)
    assert "in leaves" in caught.value.traceback


def test_a_number_that_no_float_holds_fails_its_trial(tmp_path: Path, mine: Path) -> None:
    results = create(tmp_path, "huge")
    with pytest.raises(ObjectiveError, match="the objective returned a number that is too large for a float"):
        studies.work(results)
    assert results.status().counts["failed"] == 3


def test_a_forgotten_return_is_named(tmp_path: Path, mine: Path) -> None:
    with pytest.raises(ObjectiveError, match="does each way through it end in a return") as caught:
        studies.work(create(tmp_path, "forgets"))
    assert caught.value.traceback == ""


def test_a_traceback_holds_the_persons_own_frames_only(tmp_path: Path, mine: Path) -> None:
    with pytest.raises(ObjectiveError) as caught:
        studies.work(create(tmp_path, "reads"))
    shown = caught.value.traceback
    assert 'in reads\n    return parse("{")' in shown
    assert "in parse" in shown
    assert "json/decoder.py" not in shown
    assert "function_worker.py" not in shown


def test_an_error_of_a_callback_ends_the_study_with_its_traceback(tmp_path: Path, mine: Path) -> None:
    results = create(tmp_path, "square", callbacks=["failing"])
    with pytest.raises(ObjectiveError, match="a callback failed: RuntimeError: called back") as caught:
        studies.work(results)
    assert "in failing" in caught.value.traceback
    assert results.status().counts["finished"] == 1


def test_a_callback_that_is_not_there_is_refused(tmp_path: Path, mine: Path) -> None:
    with pytest.raises(TunerError, match="callbacks: no attribute 'faling'; did you mean 'failing'"):
        create(tmp_path, "square", callbacks=["faling"])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("raise ValueError('broken')", "broken.py cannot be imported: ValueError: broken"),
        ("def objective(trial)\n", "broken.py cannot be imported: SyntaxError"),
        (
            "import sys; sys.exit(3)",
            "broken.py cannot be imported: SystemExit: 3; it gets no arguments here: what",
        ),
    ],
)
def test_a_file_that_cannot_be_imported_says_why(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text)
    spec, where = sources.read_spec(f"{path}:objective")
    with pytest.raises(ObjectiveError) as caught:
        load_objective(spec, where=where)
    assert line in str(caught.value)
    assert "importing.py" not in caught.value.traceback


def test_a_script_may_read_its_arguments_and_bear_the_name_of_a_module_of_ours(tmp_path: Path) -> None:
    import storage

    path = tmp_path / "storage.py"
    path.write_text(READS_ARGUMENTS)
    spec, where = sources.read_spec(f"{path}:objective")
    assert 3 <= try_out(spec, where=where).scores["value"] <= 4
    import storage as again

    assert again is storage


def test_a_module_that_searches_when_it_is_imported_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "searching.py").write_text(
        "import optuna\ndef objective(trial):\n    return 1.0\n\n"
        "def main():\n    optuna.create_study().optimize(objective, n_trials=10)\n\nmain()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    spec, where = sources.read_spec("searching:objective")
    with pytest.raises(TunerError, match=r"searching.py:6\); put that under `if __name__"):
        load_objective(spec, where=where)


@pytest.mark.parametrize(
    ("source", "directions", "contradicts", "constraints"),
    [
        ("optuna.create_study(direction='maximize')", ("maximize",), False, ""),
        ("create_study(directions=['minimize', 'maximize'])", ("minimize", "maximize"), False, ""),
        ("create_study(direction=optuna.study.StudyDirection.MAXIMIZE)", ("maximize",), False, ""),
        ("create_study()", ("minimize",), False, ""),
        ("create_study(directions=wanted)", (), False, ""),
        ("create_study()\ncreate_study(direction='maximize')", (), True, ""),
        ("TPESampler(constraints_func=limits)", (), False, "limits"),
        ("TPESampler(constraints_func=lambda t: (0,))", (), False, ""),
        ("this is no Python", (), False, ""),
    ],
)
def test_what_a_script_says_is_read_without_running_it(
    source: str, directions: tuple[str, ...], contradicts: bool, constraints: str
) -> None:
    script = read_script(source)
    assert (script.directions, script.contradicts_itself, script.constraints) == (directions, contradicts, constraints)


@pytest.mark.parametrize(
    ("source", "enqueued", "not_read"),
    [
        (
            "s.enqueue_trial({'x': 1, 'c': 'a'})\ns.enqueue_trial(params={'x': 2.5})",
            ({"x": 1, "c": "a"}, {"x": 2.5}),
            (),
        ),
        ("for x in (1, 2):\n    s.enqueue_trial({'x': x})", (), (2,)),
        ("s.enqueue_trial({'x': [1]})\ns.enqueue_trial(**known)", (), (1, 2)),
        ("a = create_study()\nb = create_study()\na.enqueue_trial({'x': 1})", (), (3,)),
    ],
)
def test_what_a_script_enqueues_is_read_as_far_as_it_is_plain(
    source: str, enqueued: tuple[dict[str, Any], ...], not_read: tuple[int, ...]
) -> None:
    script = read_script(source)
    assert (script.enqueued, script.not_read) == (enqueued, not_read)


SEARCHES = """
import optuna
from optuna import create_study as new_study

def objective(trial):
    inner = new_study(study_name="inner", storage=STORAGE)
    return trial.suggest_float("x", 0, 1) + len(inner.trials)

def main():
    study = optuna.create_study(study_name="theirs", storage=STORAGE)
    study.enqueue_trial({"x": 0.5})
    again = optuna.load_study(study_name="theirs", storage=STORAGE)
    again.enqueue_trial({"x": 0.25}, skip_if_exists=True)
    again.optimize(objective, n_trials=100)

main()
"""


def test_a_script_that_searches_leaves_its_own_storage_alone_and_has_its_configurations_tried(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = f"sqlite:///{tmp_path / 'theirs.db'}"
    (tmp_path / "mine.py").write_text(SEARCHES.replace("STORAGE", repr(theirs)))
    with caplog.at_level(logging.INFO, "tuner.notes"):
        results = create(tmp_path, "objective")
        assert not (tmp_path / "theirs.db").exists()
        studies.make_worker(results)  # another process would import it as this one did
    assert "the configurations that it enqueues are tried first" in caplog.text
    assert results.spec is not None
    assert results.spec.search.first == [{"x": 0.5}, {"x": 0.25}]
    assert create_with_first(tmp_path, "without", []).search.first == []
    worker = studies.make_worker(results)
    worker.advance()
    assert results.trial(0).params == {"x": 0.5}
    assert optuna.get_all_study_names(theirs) == ["inner"]  # of the objective itself, which runs as it does in Optuna


def create_with_first(folder: Path, name: str, first: list[dict[str, Any]]) -> StudySpec:
    objective = {"name": f"{folder / 'mine.py'}:objective"}
    results = studies.create(folder, name=name, data={}, training={}, objective=objective, search={"first": first})
    assert results.spec is not None
    return results.spec


def test_a_study_file_names_its_code_from_its_own_folder(tmp_path: Path, mine: Path) -> None:
    (tmp_path / "study.toml").write_text('[objective]\nname = "mine.py:square"\n')
    spec, _ = sources.read_spec(str(tmp_path / "study.toml"))
    assert spec.objective["name"] == f"{mine.resolve()}:square"
