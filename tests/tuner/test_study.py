from __future__ import annotations

from pathlib import Path

import pytest

from storage import SQLStorage
from tests.tuner import studies
from tuner.errors import StudyConflictError


def test_of_two_that_create_a_study_at_once_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studies.create(tmp_path)
    monkeypatch.setattr(SQLStorage, "get_all_studies", lambda _: [])  # as it was a moment ago
    with pytest.raises(StudyConflictError, match="study 'quick' exists already; continue it with `tuner resume quick`"):
        studies.create(tmp_path)
