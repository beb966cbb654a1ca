"""Optuna's library, its command and its dashboard see what we see, while a study runs."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

import storage as st
from storage import urls

Open = Callable[[], st.SQLStorage]

PLAIN_SCRIPT = """
import sys, optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.load_study(study_name="shared", storage=sys.argv[1])
study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=8)
"""


def _command(*arguments: str) -> str:
    command = [sys.executable, "-c", "from optuna.cli import main; main()", *arguments]
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def _dashboard_trials(url: str, study_id: int) -> list[dict[str, Any]]:
    """Ask the dashboard's own HTTP interface, without a socket."""
    optuna_dashboard: Any = importlib.import_module("optuna_dashboard")
    theirs = optuna.storages.RDBStorage(url)
    app: Any = optuna_dashboard.wsgi(theirs)
    status: list[str] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": f"/api/studies/{study_id}",
        "QUERY_STRING": "after=0",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
    }
    body = b"".join(app(environ, lambda line, _headers, _error=None: status.append(line)))
    theirs.engine.dispose()
    assert status == ["200 OK"]
    trials: list[dict[str, Any]] = json.loads(body)["trials"]
    return trials


@pytest.mark.filterwarnings("ignore")
def test_a_plain_script_the_command_and_the_dashboard_agree_with_a_running_study(worker: Open, url: str) -> None:
    storage = worker()
    theirs = urls.parse(url).render_as_string(hide_password=False)
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "shared")
    script = subprocess.Popen([sys.executable, "-c", PLAIN_SCRIPT, theirs])
    for _ in range(12):
        (claim,) = storage.claim(study_id, 1)
        storage.set_trial_param(claim.trial_id, "x", 0.5, optuna.distributions.FloatDistribution(0, 1))
        storage.set_trial_intermediate_value(claim.trial_id, 0, 0.5)
        storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [0.5])
    running, held = storage.claim(study_id, 2)
    storage.flush()
    assert script.wait() == 0
    seen = storage.get_all_trials(study_id)
    assert sorted(trial.number for trial in seen) == list(range(22))
    assert sum(trial.state is TrialState.COMPLETE for trial in seen) == 20
    rdb = optuna.storages.RDBStorage(theirs)
    plain = optuna.load_study(study_name="shared", storage=rdb)
    assert plain.trials == seen
    best = storage.get_best_trial(study_id)
    assert plain.best_trial == best
    rdb.remove_session()
    rdb.engine.dispose()
    printed = json.loads(_command("best-trial", "--storage", theirs, "--study-name", "shared", "-f", "json"))
    assert (printed["number"], printed["value"], printed["params"]) == (best.number, best.value, best.params)
    assert [t["number"] for t in _dashboard_trials(theirs, study_id)] == [t.number for t in seen]
    for claim in (running, held):
        storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [1.0])


def test_an_objective_of_plain_optuna_runs_unchanged_in_several_threads(worker: Open) -> None:
    storage = worker()
    study = optuna.create_study(storage=storage, study_name="plain", direction="maximize")

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        for step in range(3):
            trial.report(x * step, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return x

    study.optimize(objective, n_trials=12, n_jobs=3)
    seen = worker().get_all_trials(study._study_id)
    assert [trial.number for trial in seen] == list(range(12))
    assert all(trial.state in {TrialState.COMPLETE, TrialState.PRUNED} for trial in seen)
    complete = [trial.value for trial in seen if trial.state is TrialState.COMPLETE and trial.value is not None]
    assert study.best_value == max(complete)


def test_threads_that_read_and_write_the_same_storage_do_not_disturb_one_another(worker: Open) -> None:
    storage = worker()
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    storage.set_budget(study_id, 40)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            while claims := storage.claim(study_id, 2):
                with storage.batch():
                    for claim in claims:
                        storage.set_trial_intermediate_value(claim.trial_id, 0, 0.0)
                storage.get_all_trials(study_id)
                for claim in claims:
                    storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [0.0])
        except BaseException as error:  # noqa: BLE001 the assertion below shows it
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert worker().get_n_trials(study_id, TrialState.COMPLETE) == 40


def test_reading_the_best_trial_imports_neither_torch_nor_sklearn_nor_the_orm(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/trials.db"
    storage = st.open_storage(url)
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "s")
    (claim,) = storage.claim(study_id, 1)
    storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [0.5])
    storage.close()
    program = (
        "import sys, storage; s = storage.open_storage(sys.argv[1], create=False);"
        "print(s.get_best_trial(s.get_study_id_from_name('s')).value);"
        "print(sorted({'torch', 'sklearn', 'alembic', 'sqlalchemy.orm', 'pandas', 'fsspec'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, url], check=True, capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["0.5", "[]"]
