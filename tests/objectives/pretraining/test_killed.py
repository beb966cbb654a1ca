"""Pre-training in processes that are really killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.objectives.pretraining.conftest import SPACE
from tuner import study
from tuner.checkpoints import open_store
from tuner.results import Results
from tuner.study import stored_spec

EPOCHS = 150
STUDY = f"""
[objective]
name = "pretraining"

[data]
source = "words.txt"

[space]
{{space}}

[training]
epochs = {EPOCHS}
early_stopping.patience = 0

[search]
pruner = "none"

[budget]
trials = 1
"""
SECONDS = 60
"""Until what a test waits for must have happened."""


def tuner(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A command in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tuner", *arguments, "--workers", "1", "--storage", url(folder)],
        cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'tuner.db'}"


def checkpointed(folder: Path) -> tuple[Results, int]:
    """Wait until the trial has a checkpoint amid its training; return the study and the checkpoint's epoch."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.02)
        try:
            results = study.load("words", storage=url(folder))
            (row,) = results.trials()
        except Exception:  # noqa: BLE001 - the study and its trial appear in a moment
            continue
        trial = results.storage.get_trial_id_from_study_id_trial_number(results.study_id, row.number)
        checkpoint = open_store(results.storage, results.study_id, stored_spec(results)).load(trial)
        if checkpoint is not None:
            assert row.state == "running"
            return results, checkpoint.epoch
    raise AssertionError("no checkpoint in time")


def epochs(results: Results) -> list[dict[str, float]]:
    """What is known of each epoch, the seconds it took included: those tell whether it was trained again."""
    trial = results.storage.get_trial_id_from_study_id_trial_number(results.study_id, 0)
    return [dict(scores) for _, scores in results.storage.epochs(trial)]


@pytest.mark.parametrize("victim", ["worker", "process group"])
def test_a_killed_pre_training_goes_on_from_its_last_checkpoint(tmp_path: Path, words: Path, victim: str) -> None:
    space = "\n".join(f"{name} = {json.dumps(value)}" for name, value in SPACE.items())
    (words.parent / "words.toml").write_text(STUDY.format(space=space))
    process = tuner(tmp_path, "start", "words.toml")
    try:
        results, reached = checkpointed(tmp_path)
        before = epochs(results)[:reached]
        (worker,) = results.storage.list_workers(results.study_id)
        if victim == "worker":
            os.kill(worker.pid, signal.SIGKILL)
        else:
            os.killpg(process.pid, signal.SIGKILL)
        _, said = process.communicate(timeout=SECONDS)
        if victim == "worker":
            assert "was killed by signal 9" in said
        else:
            assert results.status().counts["finished"] == 0
            process = tuner(tmp_path, "resume", "words")
            process.communicate(timeout=SECONDS)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()
    assert [(row.number, row.state) for row in results.trials()] == [(0, "finished")]
    after = epochs(results)
    assert len(after) == EPOCHS
    assert after[:reached] == before
