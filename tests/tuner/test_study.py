from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from storage import SQLStorage
from tests.tuner import studies
from tuner import study
from tuner.errors import StudyConflictError, UsageError


def test_of_two_that_create_a_study_at_once_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studies.create(tmp_path)
    monkeypatch.setattr(SQLStorage, "get_all_studies", lambda _: [])  # as it was a moment ago
    with pytest.raises(StudyConflictError, match="study 'quick' exists already; continue it with `tuner resume quick`"):
        studies.create(tmp_path)


def test_a_name_that_is_taken_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    studies.create(tmp_path)
    url = f"sqlite:///{tmp_path / 'tuner.db'}"
    for name, error in (("quick", StudyConflictError), ("quick.confirm", UsageError)):
        with pytest.raises(error, match=name):
            study.start(data="missing.csv", target="y", name=name, storage=url)


def test_a_copy_that_optuna_made_of_a_study_is_worked_on_under_its_own_name(tmp_path: Path) -> None:
    first = studies.create(tmp_path, budget={"trials": 2})
    studies.work(first)
    url = f"sqlite:///{tmp_path / 'tuner.db'}"
    optuna.copy_study(
        from_study_name="quick", from_storage=first.storage, to_storage=first.storage, to_study_name="copy"
    )
    copy = study.load("copy", storage=url)
    assert study.stored_spec(copy).name == "copy"
    copy.storage.set_budget(copy.study_id, 3)
    studies.work(copy)
    assert [len(results.trials()) for results in (first, copy)] == [2, 3]
    assert copy.trial(2).state in ("finished", "pruned")
    assert repr(copy) == f"<Results of study 'copy' in {url}>"
