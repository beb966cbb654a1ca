"""``tuner confirm``, in processes of their own, as a person runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tuner import studies
from tests.tuner.cli.conftest import Run
from tuner import study
from tuner.errors import StudyNotFoundError
from tuner.output import score

NOISY = """
import random, time

def objective(trial):
    x = trial.suggest_float("x", -1, 1)
    time.sleep(0.2)
    return x**2 + random.random() / 10
"""
TUNER = [sys.executable, "-m", "tuner"]
IRIS = ("start", "iris", "--trials", "4", "--workers", "1", "-S", "training.epochs=4")


def tuner(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*TUNER, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def confirmed() -> int:
    """Return how many trainings have come to their end."""
    try:
        return study.load("noisy.confirm").status().done
    except StudyNotFoundError:
        return 0


def test_what_was_interrupted_goes_on_where_it_was() -> None:
    Path("noisy.py").write_text(NOISY)
    assert tuner("start", "noisy.py:objective", "--trials", "4", "--workers", "2").returncode == 0
    asked = ["confirm", "noisy", "--top", "2", "--seeds", "6", "--workers", "1"]
    code, said = ended_by(signal.SIGINT, asked, after=1)
    assert code == 130
    assert "`tuner confirm noisy --top 2 --seeds 6` continues" in said
    assert "Traceback" not in said
    interrupted = confirmed()
    ended_by(signal.SIGKILL, asked, after=interrupted + 1)
    assert interrupted < confirmed() < 12
    done = tuner(*asked, "-o", "json")
    assert done.returncode == 0, done.stderr
    assert confirmed() == 12
    found = json.loads(done.stdout)
    assert (found["study"], found["seeds"], found["test"]) == ("noisy", 6, {})
    assert all(len(one["confirmed"]["value"]["scores"]) == 6 for one in found["candidates"])
    means = [one["confirmed"]["value"]["mean"] for one in found["candidates"]]
    assert means == sorted(means), "what is minimised: the least mean comes first"


def ended_by(number: int, asked: list[str], *, after: int) -> tuple[int, str]:
    """Run a confirmation and send a signal to all its processes after so many trainings; return its code and stderr."""
    with subprocess.Popen(
        [*TUNER, *asked], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        until = time.monotonic() + 60
        while confirmed() < after and time.monotonic() < until:
            time.sleep(0.05)
        os.killpg(process.pid, number)
        _, said = process.communicate(timeout=60)
    return process.returncode, said


def test_a_person_reads_what_was_luck(run: Run) -> None:
    assert tuner(*IRIS).returncode == 0
    done = tuner("confirm", "iris", "--top", "2", "--seeds", "3", "--workers", "1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "iris: the 2 best trials, trained again from 3 fresh seeds each"
    assert lines[2].split() == ["trial", "accuracy", "found", "fresh", "seeds"]
    chosen = lines[3].split()[0]
    assert lines[3].endswith("  chosen")
    assert lines[4].endswith(f" trial {chosen}")
    assert f"trial {chosen}: accuracy" in done.stdout
    assert "on the 30 samples of the test part" in done.stdout
    assert f"tuner keep iris    keep the network of trial {chosen}" in done.stderr
    shown = run("show", "iris", chosen).stdout
    assert "from 3 fresh seeds: chosen; " in shown
    record = json.loads(run("confirm", "iris", "--top", "2", "--seeds", "3", "-o", "json").stdout)
    assert (record["chosen"], record["looks"]) == (int(chosen), 1)
    (named,) = (line for line in done.stderr.splitlines() if "tuner keep iris.confirm --trial " in line)
    kept = run(*named.split()[1:])
    assert kept.exit_code == 0, kept.output
    together = record["together"]["accuracy"]["mean"]
    assert f"its 3 together {score(together)}" in shown
    assert "trained again" not in kept.stdout, "confirm has left the checkpoints"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("absent",), 3, "there is no study 'absent'"),
        (("iris", "--top", "0"), 2, "--top 0: at least 1 is needed"),
        (("iris", "--seeds", "-1"), 2, "--seeds -1: at least 1 is needed"),
        (("iris", "--workers", "0"), 2, "invalid value for '--workers': 0 is not in the range x>=1"),
    ],
)
def test_what_cannot_be_confirmed_is_said_in_a_line(run: Run, arguments: tuple[str, ...], code: int, said: str) -> None:
    studies.create(Path(), name="iris")
    studies.work(study.load("iris"))
    refused = run("confirm", *arguments)
    assert refused.exit_code == code
    assert refused.stderr.startswith(f"Error: {said}")
    assert len(refused.stderr.splitlines()) == 1
