"""What a person gets wrong at ``tuner start``: one clear line, the right exit code, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tuner import sources, study
from tuner.cli.group import cli
from tuner.preparation import prepare as prepare_study
from tuner.workers.planning import plan

GOOD = "a,b,label\n" + "".join(f"{i},{i % 7},{'yes' if i % 3 else 'no'}\n" for i in range(60))
TABLE = ["--data", "rows.csv", "--target", "label"]


def file(name: str, content: str | bytes) -> Callable[[Path], None]:
    """Write one file into the folder."""

    def write(folder: Path) -> None:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


def rows(content: str | bytes) -> Callable[[Path], None]:
    return file("rows.csv", content)


def study_file(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        rows(GOOD)(folder)
        file("study.toml", f'[data]\nsource = "rows.csv"\ntarget = "label"\n{text}')(folder)

    return write


def existing_study(folder: Path) -> None:
    rows(GOOD)(folder)
    spec, where = sources.read_spec(None, data=str(folder / "rows.csv"), target="label")
    study.create(spec, where=where, storage=f"sqlite:///{folder / 'tuner.db'}")


def nothing(folder: Path) -> None:
    pass


def lines(header: str, *values: str) -> str:
    return header + "\n" + "\n".join(values) + "\n"


CASES = [
    # what the folder holds, the arguments, the exit code, what the line names
    pytest.param(nothing, [], 2, "--data FILE --target COLUMN", id="nothing to tune"),
    pytest.param(nothing, ["irs"], 2, "did you mean 'iris'", id="unknown study"),
    pytest.param(nothing, ["absent.toml"], 2, "absent.toml: no such study file", id="missing study file"),
    pytest.param(nothing, ["absent.module:objective"], 2, "no module 'absent.module'", id="missing module"),
    pytest.param(nothing, TABLE, 2, "rows.csv: no such file", id="missing file"),
    pytest.param(rows(""), TABLE, 2, "empty", id="empty file"),
    pytest.param(rows("a,b,label\n"), TABLE, 2, "no rows", id="header only"),
    pytest.param(rows("a,b,label\n1,2,yes\n"), TABLE, 2, "one class", id="one row"),
    pytest.param(rows(GOOD), ["--data", "rows.csv"], 2, "target", id="no target given"),
    pytest.param(rows(GOOD), [*TABLE[:3], "lable"], 2, "did you mean 'label'", id="absent target"),
    pytest.param(rows(GOOD.replace("no\n", "yes\n")), TABLE, 2, "one class", id="one class only"),
    pytest.param(rows(GOOD.replace("yes\n", "\n").replace("no\n", "\n")), TABLE, 2, "label", id="all-missing target"),
    pytest.param(rows(GOOD.replace("5,5,yes", "5,5,")), TABLE, 2, "missing_target", id="target with a gap"),
    pytest.param(
        rows(lines("a,label", *(f"{i},{i}.5" for i in range(50)), "50,inf")), TABLE, 2, "inf", id="infinite target"
    ),
    pytest.param(
        rows(GOOD.replace("5,5,yes", "x,5,yes")), [*TABLE, "-S", "data.numbers=['a']"], 2, "'x'", id="text for a number"
    ),
    pytest.param(
        rows(GOOD.replace(",", "|")), [*TABLE, "-S", "data.delimiter=;"], 2, "delimiter", id="wrong delimiter"
    ),
    pytest.param(rows(b"\x00\x01\x02\xff" * 50), TABLE, 2, "rows.csv", id="binary junk"),
    pytest.param(
        file("rows.parquet", b"PAR1"), ["--data", "rows.parquet", "--target", "y"], 2, "rows.parquet", id="parquet"
    ),
    pytest.param(file("rows.xyz", "a"), ["--data", "rows.xyz", "--target", "y"], 2, "rows.xyz", id="unknown format"),
    pytest.param(rows(GOOD), [*TABLE, "-S", "space.optimizer=adm"], 2, "did you mean 'adam'", id="unknown optimizer"),
    pytest.param(rows(GOOD), [*TABLE, "-S", "space.learning_rate=1..0.1"], 2, "inverted", id="inverted range"),
    pytest.param(rows(GOOD), [*TABLE, "-S", "space.l1=0..1:log"], 2, "above 0", id="log of zero"),
    pytest.param(rows(GOOD), [*TABLE, "-S", "space.lerning_rate=1"], 2, "did you mean 'learning_rate'", id="space key"),
    pytest.param(rows(GOOD), [*TABLE, "-S", "trainig.epochs=1"], 2, "did you mean 'training'", id="unknown table"),
    pytest.param(rows(GOOD), [*TABLE, "-S", "training.epochs=ten"], 2, "epochs = 'ten'", id="text for a count"),
    pytest.param(rows(GOOD), [*TABLE, "-S", "data.validation=0.9"], 2, "below 1", id="impossible split"),
    pytest.param(rows(GOOD), [*TABLE, "-S", "objective.metric=acuracy"], 2, "did you mean 'accuracy'", id="metric"),
    pytest.param(rows(GOOD), [*TABLE, "-S", "objective.metric=rmse"], 2, "regression", id="metric of the other task"),
    pytest.param(rows(GOOD), [*TABLE, "-S", "search.sampler=tpee"], 2, "did you mean 'tpe'", id="unknown sampler"),
    pytest.param(
        rows(GOOD), [*TABLE, "-S", "search.first=[{depth=9}]"], 2, "first[0]: depth = 9 is not in 1..4", id="first"
    ),
    pytest.param(
        rows(GOOD), [*TABLE, "-S", "search.sampler_options.seeds=1"], 2, "did you mean 'seed'", id="sampler option"
    ),
    pytest.param(rows(GOOD), [*TABLE, "-S", "training.device=cuda:9"], 2, "cuda:9", id="absent GPU"),
    pytest.param(rows(GOOD), [*TABLE, "-S", "training.device=gpu"], 2, "write auto, cpu, cuda", id="unknown device"),
    pytest.param(rows(GOOD), [*TABLE, "--trials", "-5"], 2, "-5", id="negative trials"),
    pytest.param(rows(GOOD), [*TABLE, "--timeout", "soon"], 2, "soon", id="no duration"),
    pytest.param(rows(GOOD), [*TABLE, "--workers", "0"], 2, "0", id="no workers"),
    pytest.param(rows(GOOD), [*TABLE, "--name", "../evil"], 2, "a name holds letters", id="a path for a name"),
    pytest.param(study_file("[traning]\n"), ["study.toml"], 2, "did you mean 'training'", id="typo in a study file"),
    pytest.param(study_file("epochs = ["), ["study.toml"], 2, "not valid TOML", id="broken TOML"),
    pytest.param(file("study.yaml", "a: [1\n"), ["study.yaml"], 2, "not valid YAML", id="broken YAML"),
    pytest.param(rows(GOOD), [*TABLE, "--storage", "postgres//x"], 2, "storage", id="no URL"),
    pytest.param(
        rows(GOOD), [*TABLE, "--storage", "sqlite:///absent/dir/x.db"], 6, "absent", id="storage in no folder"
    ),
    pytest.param(existing_study, [*TABLE, "--name", "rows"], 5, "tuner resume rows", id="two studies of one name"),
    pytest.param(
        lambda folder: (rows(GOOD)(folder), file("tuner.db", "not a database " * 100)(folder)),
        TABLE,
        1,
        "tuner.db",
        id="corrupt database",
    ),
]


@pytest.mark.parametrize(("prepare", "arguments", "code", "named"), CASES)
def test_bad_input_is_one_clear_line_and_writes_nothing(
    prepare: Callable[[Path], None],
    arguments: list[str],
    code: int,
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in study.WAYS_TO_NAME_STORAGE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tuner.workers.running.standby", lambda *_, **__: _Nobody())
    prepare(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    result: Result = CliRunner().invoke(cli, ["start", *arguments, "-q"])
    errors = [line for line in result.stderr.splitlines() if line.strip()]
    assert result.exit_code == code, result.output
    assert len(errors) == 1, result.stderr
    assert errors[0].startswith("Error: ")
    assert named in errors[0]
    assert not result.stdout
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert after.keys() - {"tuner.db-wal", "tuner.db-shm"} == before.keys() - {"tuner.db-wal", "tuner.db-shm"}


class _Nobody:
    """No processes on standby: what is refused here is refused before one is needed."""

    places = staticmethod(plan)
    prepare = staticmethod(prepare_study)

    def __enter__(self) -> _Nobody:
        return self

    def __exit__(self, *_: object) -> None:
        return None
