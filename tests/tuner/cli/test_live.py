from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from rich.console import Console

from tests.tuner import studies
from tests.tuner.cli import samples
from tuner import study
from tuner.cli.frame import draw, progress_line
from tuner.cli.live import PlainView
from tuner.cli.progress import Snapshot, Tracker
from tuner.output import score
from tuner.results import TrialRow
from tuner.workers.trainable_worker import TrainableWorker

BEST = TrialRow(
    number=37,
    state="finished",
    values={"accuracy": 0.98},
    params={"learning_rate": 0.0031, "optimizer": "adam", "depth": 2, "width": 64, "dropout": 0.25, "l1": 1e-5},
    attributes={},
    started=None,
    seconds=1.0,
)
SNAPSHOT = Snapshot(
    name="churn",
    metrics=["accuracy"],
    directions=["maximize"],
    counts={"running": 4, "finished": 50, "pruned": 10, "diverged": 2, "failed": 0},
    done=62,
    budget=100,
    workers=4,
    elapsed=60.0,
    rate=93.4,
    left=24.0,
    best=[BEST],
    history=[0.5, 0.5, 0.9, 0.98],
    curve=[0.2, 0.9, 0.98],
)


class Clock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def drawn(snapshot: Snapshot, *, width: int, height: int = 24) -> list[str]:
    """The lines of the picture."""
    text = io.StringIO()
    console = Console(file=text, width=width, height=height, color_system=None)
    console.print(draw(snapshot, width=width, height=height, elapsed=60))
    return text.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = drawn(SNAPSHOT, width=width)
    assert max(map(len, lines)) <= width
    assert len(lines) <= 12


def test_the_picture_says_how_far_it_is_and_what_is_best() -> None:
    first, progress, counts, best, params, *plots = drawn(SNAPSHOT, width=100)
    assert first.startswith("churn  accuracy ↑")
    assert first.endswith("4 workers  1:00")
    assert progress.endswith("62/100 trials  93/min  ~0:24 left")
    assert counts == "4 running   50 finished   10 pruned   2 diverged"
    assert best == "best  accuracy 0.9800 (trial 37)"
    assert params.startswith("learning_rate 0.0031, optimizer adam, depth 2")
    assert "best so far, by trial" in plots[0]
    assert "trial 37, by epoch" in plots[0]


def test_a_low_terminal_shows_no_plots() -> None:
    assert len(drawn(SNAPSHOT, width=80, height=12)) == 5


def test_a_study_without_a_best_or_a_budget_is_drawn_too() -> None:
    snapshot = dataclasses.replace(SNAPSHOT, best=[], budget=None, rate=None, left=None, history=[], curve=[])
    assert drawn(snapshot, width=80)[1:] == ["62 trials", "4 running   50 finished   10 pruned   2 diverged"]


def test_a_front_is_told_by_its_size_and_its_first_trial() -> None:
    best = dataclasses.replace(BEST, values={"accuracy": 0.98, "log_loss": 0.125})
    snapshot = dataclasses.replace(
        SNAPSHOT, metrics=["accuracy", "log_loss"], directions=["maximize", "minimize"], best=[best, BEST]
    )
    lines = drawn(snapshot, width=100)
    assert lines[0].startswith("churn  accuracy ↑, log_loss ↓")
    assert lines[3] == "best  front of 2 trials: accuracy 0.9800, log_loss 0.1250 (trial 37)"
    lines = drawn(dataclasses.replace(snapshot, best=[best]), width=100)
    assert lines[3].startswith("best  front of 1 trial: ")


def test_progress_without_a_terminal_is_one_line() -> None:
    assert progress_line(SNAPSHOT) == (
        "churn: 62/100 trials, 4 running, 10 pruned, 2 diverged, 93 trials/min, "
        "best accuracy 0.9800 (trial 37), 0:24 left"
    )


def test_where_trials_take_long_one_sees_how_far_one_of_them_is(tmp_path: Path) -> None:
    results = studies.create(tmp_path, training={"epochs": 9})
    worker = studies.make_worker(results)
    assert isinstance(worker, TrainableWorker)
    worker._fill()
    worker._train()
    worker._train()
    snapshot = Tracker().look(results)
    assert snapshot is not None
    said = f"trial 0 at epoch 2 of 9: accuracy {score(results.epochs(0)[-1].scores['accuracy'])}"
    assert progress_line(snapshot) == f"quick: 0/6 trials, 1 running, {said}"
    assert drawn(snapshot, width=100)[2] == f"1 running   0 finished   0 pruned   {said}"
    worker.put_down()


def test_a_line_is_written_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    samples.write()
    results = study.load("churn")
    clock = Clock()
    view = PlainView("churn", now=clock)
    view.tracker = Tracker(clock=clock)
    with view:
        for _ in range(21):
            view(results)
            clock.now += 1.0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "churn: reading the data, starting the workers"
    assert [line.split(",")[0] for line in lines[1:]] == ["churn: 7/10 trials"] * 2
    results.storage.close()


def test_a_look_reads_the_trials_once(monkeypatch: pytest.MonkeyPatch) -> None:
    samples.write()
    results = study.load("churn")
    claims = results.storage.claim(results.study_id, 1)
    reads = 0

    def read(*_: Any, **__: Any) -> Any:
        nonlocal reads
        reads += 1
        return get_all_trials(results.study_id, deepcopy=False)

    get_all_trials = results.storage.get_all_trials
    monkeypatch.setattr(results.storage, "get_all_trials", read)
    snapshot = Tracker().look(results)
    assert snapshot is not None
    assert (snapshot.counts["running"], reads) == (1, 1)
    results.storage.release([claim.trial_id for claim in claims])
    results.storage.close()


def test_the_tracker_looks_seldom_and_tells_the_rate_and_the_time_left() -> None:
    samples.write(budget=10)
    results = study.load("churn")
    clock = Clock()
    tracker = Tracker(clock=clock)
    assert tracker.look(results) is not None
    assert tracker.look(results) is None
    claims = results.storage.claim(results.study_id, 2)
    clock.now += 10
    assert tracker.look(results) is not None
    for claim, accuracy in zip(claims, [0.99, 0.5], strict=True):
        results.storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [accuracy])
    clock.now += 60
    snapshot = tracker.look(results)
    assert snapshot is not None
    assert (snapshot.done, snapshot.rate, snapshot.left, snapshot.elapsed) == (9, 2.0, 30.0, 70.0)
    assert snapshot.best[0].number == 7
    assert snapshot.history == [0.75, 0.9375, 0.9375, 0.9375, 0.99, 0.99]
    results.storage.close()
