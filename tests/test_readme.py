"""The README is true: its commands run as they are printed, in order, and its Python does too."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

README = Path(__file__).parent.parent / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def toml(holding: str) -> str:
    """Return the one piece of a study file that holds a word."""
    (found,) = (block for block in blocks("toml") if holding in block)
    return found


def commands() -> Iterator[str]:
    """Every ``tuner`` command of the README; what installs the package has been done before its tests run."""
    for block in blocks("sh"):
        for line in re.sub(r" \\\n +", " ", block).splitlines():
            found = re.search(r"(?:^|&& )(tuner .*)$", line)
            if found:
                yield found[1]


def write_inputs(folder: Path) -> None:
    """Write the files that the README's reader is said to have."""
    chance = random.Random(0)
    rows = ["customer_id,age,plan,calls,since,churned"]
    for i in range(400):
        age = chance.randint(18, 80)
        calls = chance.randint(0, 9)
        churned = "yes" if calls + chance.gauss(0, 1) > 5 else "no"
        shown_age = "" if chance.random() < 0.1 else str(age)
        rows.append(f"C{i:05},{shown_age},{chance.choice('abc')},{calls},2024-{1 + i % 12:02}-01,{churned}")
    (folder / "churn.csv").write_text("\n".join(rows) + "\n")
    new = [row.replace("C", "D", 1).rpartition(",")[0] for row in (rows[0], *rows[-4:])]
    (folder / "new_customers.csv").write_text("\n".join(new) + "\n")
    numbers = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf"}
    phrases = [(f"{a} and {b}", f"{c} und {d}") for a, c in numbers.items() for b, d in numbers.items()]
    lines = ["english,german", *(",".join(pair) for pair in phrases)]
    (folder / "phrases.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    reviews = [f"{i},A {word} film number {i},{word}" for i in range(60) for word in ("good", "bad")]
    (folder / "reviews.csv").write_text("\n".join(["number,review,sentiment", *reviews]) + "\n")
    words = [f"{a}{b}{c}{a}" for a in "aeiou" for b in "klmnp" for c in "rst"]
    (folder / "notes.txt").write_text("\n".join(" ".join(chance.choices(words, k=6)) for _ in range(80)) + "\n")
    (folder / "notes.toml").write_text(toml("pretraining"))
    (folder / "more_reviews.csv").write_text("review\nA good plot\nA bad ending\n")
    (folder / "quadratic.py").write_text("def objective(trial):\n    return trial.suggest_float('x', -9, 9) ** 2\n")
    write_images(folder)
    (folder / "blobs.py").write_text("\n".join(block for block in blocks("python") if "Blobs(" in block))


def write_images(folder: Path) -> None:
    """Write a folder of class folders, an NPZ file of arrays, and a table of the folder's images."""
    chance = np.random.default_rng(0)
    rows = ["file,brightness"]
    for label, light in (("cats", 60), ("dogs", 120)):
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(10):
            pixels = chance.integers(light, light + 100, (12, 16, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / label / f"{number}.png")
            rows.append(f"photos/{label}/{number}.png,{pixels.mean():.2f}")
    (folder / "more_photos" / "unsorted").mkdir(parents=True)
    for name in ("one", "unsorted/two"):
        Image.fromarray(chance.integers(60, 220, (20, 30, 3)).astype(np.uint8)).save(
            folder / "more_photos" / f"{name}.png"
        )
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    np.savez(folder / "scans.npz", X=chance.integers(0, 255, (40, 8, 8)).astype(np.uint8), label=np.arange(40) % 2)


def run_python(what: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the one program of the README that says ``what``."""
    (program,) = (block for block in blocks("python") if what in block)
    return subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_every_command_of_the_readme_runs_as_printed(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {key: value for key, value in os.environ.items() if not key.endswith("_STORAGE")} | {"PATH": path}
    seen = set(tmp_path.iterdir())
    for command in commands():
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    done = run_python("load_model", tmp_path)
    assert "p(yes)" in done.stdout, done.stderr
    named = {"tuner.db", "tuner-checkpoints", "tuner-models", "churn_study.toml", "answers.csv", "breast_cancer.html"}
    made = {entry.name.removesuffix("-wal").removesuffix("-shm") for entry in set(tmp_path.iterdir()) - seen}
    assert made <= {*named, "__pycache__"}


@pytest.mark.parametrize(("what", "printed"), [("tuner.start", "accuracy"), ("tuner.sklearn", "0.9")])
def test_the_python_of_the_readme_runs(tmp_path: Path, what: str, printed: str) -> None:
    done = run_python(what, tmp_path)
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout


def test_the_readme_names_every_command() -> None:
    import tuner.cli.group

    text = README.read_text(encoding="utf-8")
    context = tuner.cli.group.cli.make_context("tuner", ["--help"], resilient_parsing=True)
    for command in tuner.cli.group.cli.list_commands(context):
        assert f"tuner {command}" in text, f"the README does not show `tuner {command}`"


def test_the_study_file_of_the_readme_is_valid(tmp_path: Path) -> None:
    from tuner.preparation import resolved
    from tuner.sources import read_spec

    (tmp_path / "example.toml").write_text('[data]\nsource = "iris"\ntarget = "species"\n' + toml("[space]"))
    spec, where = read_spec(str(tmp_path / "example.toml"))
    _, space = resolved(spec, where=where)
    assert space is not None
    assert "momentum" in space.searched
