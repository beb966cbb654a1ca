"""A checkpoint is whole or it is not used; what need not stay goes."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

import storage as st
from storage import Checkpoint, CheckpointStore, Retention
from storage.files import LocalFiles
from tests.storage.conftest import Clock, commits

Open = Callable[[], st.SQLStorage]


@pytest.fixture(params=["folder", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "checkpoints") if request.param == "folder" else f"memory://{tmp_path.name}"


def _store(storage: st.SQLStorage, root: str, retention: Retention | None = None) -> CheckpointStore:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    return CheckpointStore(storage, study_id, root, retention=retention)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_another_worker_continues_from_the_last_checkpoint(worker: Open, root: str, clock: Clock) -> None:
    first, second = worker(), worker()
    store = _store(first, root)
    (claim,) = first.claim(store.study_id, 1)
    assert store.load(claim.trial_id) is None
    for epoch in range(3):
        store.save(claim.trial_id, epoch, bytes([epoch]) * 1000, {"stale": epoch, "note": "ü"})
    first.flush()
    clock.now += 61
    (taken,) = second.claim(store.study_id, 1)
    loaded = CheckpointStore(second, store.study_id, root).load(taken.trial_id)
    assert loaded is not None
    assert (loaded.epoch, loaded.tensors, loaded.meta) == (2, b"\2" * 1000, {"stale": 2, "note": "ü"})


@pytest.fixture
def lite(tmp_path: Path, clock: Clock) -> st.SQLStorage:
    return st.SQLStorage(f"sqlite:///{tmp_path}/trials.db", lease=60.0, clock=clock)


Damage = Callable[[Path], object]
DAMAGES: dict[str, Damage] = {
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "changed": lambda path: path.write_bytes(b"x" + path.read_bytes()[1:]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    damage: str, suffix: str, lite: st.SQLStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = _store(lite, str(tmp_path / "c"))
    (claim,) = lite.claim(store.study_id, 1)
    store.save(claim.trial_id, 0, b"zero", {})
    newest = store.save(claim.trial_id, 1, b"one", {})
    DAMAGES[damage](tmp_path / "c" / newest.uri.replace(".json", suffix))
    with caplog.at_level(logging.WARNING):
        loaded = store.load(claim.trial_id)
    assert loaded is not None
    assert (loaded.epoch, loaded.tensors) == (0, b"zero")
    assert "is damaged" in caplog.text


def test_a_full_disk_leaves_nothing_behind(
    lite: st.SQLStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _store(lite, str(tmp_path / "c"))
    (claim,) = lite.claim(store.study_id, 1)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("storage.files.os.fsync", full)
    with pytest.raises(st.StorageFullError, match="the disk is full"):
        store.save(claim.trial_id, 0, b"tensors", {})
    assert _files(tmp_path / "c") == []
    assert lite.checkpoints(claim.trial_id) == []


def test_a_late_worker_neither_overwrites_nor_indexes(lite: st.SQLStorage, tmp_path: Path, clock: Clock) -> None:
    store = _store(lite, str(tmp_path / "c"))
    (claim,) = lite.claim(store.study_id, 1)
    clock.now += 61
    second = st.SQLStorage(f"sqlite:///{tmp_path}/trials.db", lease=60.0, clock=clock)
    (taken,) = second.claim(store.study_id, 1)
    theirs = CheckpointStore(second, store.study_id, str(tmp_path / "c"))
    theirs.save(taken.trial_id, 0, b"successor", {})
    for epoch in range(2):  # at first it does not know
        with pytest.raises(st.LeaseLostError):
            store.save(claim.trial_id, epoch, b"late", {})
    loaded = theirs.load(taken.trial_id)
    assert loaded is not None
    assert loaded.tensors == b"successor"
    second.close()


def test_only_the_newest_of_each_trial_stay(lite: st.SQLStorage, tmp_path: Path) -> None:
    store = _store(lite, str(tmp_path / "c"), Retention(keep_each=2))
    (claim,) = lite.claim(store.study_id, 1)
    for epoch in range(5):
        store.save(claim.trial_id, epoch, b"t", {})
    assert [record.epoch for record in lite.checkpoints(claim.trial_id)] == [4, 3]
    assert len(_files(tmp_path / "c")) == 4


def _finished_study(lite: st.SQLStorage, root: Path, retention: Retention) -> tuple[CheckpointStore, list[st.Claim]]:
    store = _store(lite, str(root), retention)
    claims = lite.claim(store.study_id, 6)
    for claim in claims:
        store.save(claim.trial_id, 0, b"0" * 1000, {})
        store.save(claim.trial_id, 1, b"1" * 1000, {})
    with lite.batch():
        for claim in claims[:3]:
            lite.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [float(3 - claim.number)])
        lite.set_trial_state_values(claims[3].trial_id, TrialState.PRUNED, [0.0])
        lite.set_trial_state_values(claims[4].trial_id, TrialState.FAIL)
    return store, claims


def test_what_will_be_deleted_can_be_previewed(lite: st.SQLStorage, tmp_path: Path) -> None:
    store, _ = _finished_study(lite, tmp_path / "c", Retention(keep_best=1))
    preview = store.preview()
    assert {(d.number, d.record.epoch, d.reason) for d in preview} == {
        (2, 0, "the trial is finished, its last checkpoint stays"),
        (0, 0, "the trial is finished and not among the best 1"),
        (0, 1, "the trial is finished and not among the best 1"),
        (1, 0, "the trial is finished and not among the best 1"),
        (1, 1, "the trial is finished and not among the best 1"),
        (3, 0, "the trial was pruned"),
        (3, 1, "the trial was pruned"),
        (4, 0, "the trial was failed"),
        (4, 1, "the trial was failed"),
    }
    assert store.clean() == preview
    assert store.preview() == []
    left = lite.study_checkpoints(store.study_id)
    assert [(r.trial_id, r.epoch) for r in left] == [(3, 1), (6, 1), (6, 0)]
    assert len(_files(tmp_path / "c")) == 6


def test_the_disk_limit_takes_the_worst_first_and_never_what_a_resume_needs(
    lite: st.SQLStorage, tmp_path: Path
) -> None:
    store, claims = _finished_study(lite, tmp_path / "c", Retention(keep_best=3, max_bytes=3500))
    store.clean()
    left = {(r.trial_id, r.epoch) for r in lite.study_checkpoints(store.study_id)}
    assert left == {(claims[2].trial_id, 1), (claims[5].trial_id, 1), (claims[5].trial_id, 0)}
    store.retention = Retention(keep_best=3, max_bytes=0)
    store.clean()
    assert {(r.trial_id, r.epoch) for r in lite.study_checkpoints(store.study_id)} == {(claims[5].trial_id, 1)}


def test_removing_a_studys_checkpoints_leaves_the_folder_of_others_alone(lite: st.SQLStorage, tmp_path: Path) -> None:
    store, _ = _finished_study(lite, tmp_path / "c", Retention())
    other = _store(lite, str(tmp_path / "c"))
    (claim,) = lite.claim(other.study_id, 1)
    other.save(claim.trial_id, 0, b"mine", {})
    store.remove_all()
    assert len(_files(tmp_path / "c")) == 2
    assert other.load(claim.trial_id) is not None


def test_a_cohort_is_saved_with_two_transactions(lite: st.SQLStorage, tmp_path: Path) -> None:
    store = _store(lite, str(tmp_path / "c"), Retention(keep_each=1))
    ids = [claim.trial_id for claim in lite.claim(store.study_id, 4)]
    for epoch in range(3):
        with commits() as seen:
            store.save_all({i: Checkpoint(epoch=epoch, tensors=b"t", meta={}) for i in ids})
        assert len(seen) <= 2
    assert [record.epoch for record in lite.study_checkpoints(store.study_id)] == [2, 2, 2, 2]


def test_a_checkpoint_is_two_plain_files(lite: st.SQLStorage, tmp_path: Path) -> None:
    store = _store(lite, str(tmp_path / "c"))
    (claim,) = lite.claim(store.study_id, 1)
    record = store.save(claim.trial_id, 7, b"tensors", {"stale": 1})
    described = json.loads((tmp_path / "c" / record.uri).read_text())
    assert described["meta"] == {"stale": 1}
    assert described["epoch"] == 7
    assert (tmp_path / "c" / record.uri).with_suffix(".safetensors").read_bytes() == b"tensors"


def test_an_unusable_place_is_named(lite: st.SQLStorage, tmp_path: Path) -> None:
    with pytest.raises(st.CheckpointError, match="nosuchprotocol://x"):
        _store(lite, "nosuchprotocol://x")
    (tmp_path / "file").write_text("")
    store = _store(lite, str(tmp_path / "file"))
    (claim,) = lite.claim(store.study_id, 1)
    with pytest.raises(st.CheckpointError, match="could not be written"):
        store.save(claim.trial_id, 0, b"", {})


@pytest.mark.parametrize(
    ("options", "message"),
    [({"keep_best": -1}, "got -1"), ({"keep_each": 0}, "got 0"), ({"max_bytes": -5}, "got -5")],
)
def test_an_impossible_retention_is_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Retention(**options)


def test_many_workers_may_tidy_up_the_same_folder(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    for _ in range(50):
        files.write("trial/1.json", b"{}")
        files.write("trial/1.safetensors", b"")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: files.remove_folder("trial"), range(8)))
        assert not (tmp_path / "trial").exists()
