"""Folders for parts: told from folders for classes."""

from pathlib import Path

import pytest

from objectives.parts import roots


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["train/cat", "train/dog", "val/cat", "test/dog"], {"train": "training", "val": "validation", "test": "test"}),
        (["Training/cat", "unused/x", "dev/cat"], {"Training": "training", "dev": "validation"}),
        (["train/cat", "train/dog"], {"train": "training"}),
        (["cat", "dog"], {"": ""}),
        (["train", "tram", "bus"], {"": ""}),  # a class of trains
        (["train/steam", "bus/red", "tram/old"], {"": ""}),  # likewise, with folders in it
        (["val/cat", "test/cat"], {"": ""}),  # nothing to train on
        (["train/cat", "train/dog", "val", ".hidden/x"], {"train": "training"}),
    ],
)
def test_folders_are_for_parts_or_for_classes(tmp_path: Path, folders: list[str], expected: dict[str, str]) -> None:
    for name in folders:
        (tmp_path / name).mkdir(parents=True)

    found = roots(tmp_path)

    assert {root.path.name if root.part else "": root.part for root in found} == expected
