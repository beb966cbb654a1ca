"""Bad data is refused in one line that names the thing, the value and the remedy."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.objectives.tables_kit import churn, make_table, write
from tuner.errors import TunerError, UsageError

CSV = churn(60).write_csv()


@dataclass(frozen=True, kw_only=True)
class Bad:
    """A kind of bad input, and the pattern of the line that refuses it."""

    what: str
    says: str
    file: str = "churn.csv"
    content: str | bytes | Callable[[Path], None] = CSV
    data: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def with_target(values: list[Any], name: str = "churned") -> str:
    frame = churn(len(values))
    return frame.with_columns(pl.Series(name, values, strict=False)).write_csv()


def folder(path: Path) -> None:
    path.mkdir()
    (path / "part.csv").write_text(CSV)


def pictures(path: Path, missing: str = "") -> None:
    """A table of paths beside the images that they name."""
    names = [f"pics/{number:03}.png" for number in range(40)]
    (path.parent / "pics").mkdir()
    for name in names:
        if name != missing:
            (path.parent / name).touch()
    path.write_text("picture,shown\n" + "".join(f"{name},{'ab'[i % 2]}\n" for i, name in enumerate(names)))


def savez(**arrays: Any) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **arrays)


YES_NO = ["yes", "no"] * 30

BAD = [
    Bad(what="a missing file", content=lambda path: None, says=r"churn\.csv: no such file$"),
    Bad(
        what="a mistyped file",
        data={"source": "chrun.csv"},
        says=r"chrun\.csv: no such file; did you mean 'churn\.csv'\?",
    ),
    Bad(what="a file in no folder", data={"source": "nowhere/churn.csv"}, says="there is no folder '.*nowhere' either"),
    Bad(what="an unknown built-in", data={"source": "irs"}, says="irs: no such file and no built-in.*mean 'iris'"),
    Bad(what="no source", data={"source": ""}, says=r"\[data\]: source is missing; name a file or one of iris"),
    Bad(what="a folder", content=folder, says=r"churn\.csv: is a folder; name a file in it: part\.csv"),
    Bad(what="an empty file", content="", says=r"churn\.csv: is empty"),
    Bad(what="blank lines only", content="\n\n  \n", says=r"churn\.csv: is empty"),
    Bad(
        what="an open quote",
        content='age,plan,churned\n1,"a\nb",no\n2,"c,yes\n3,d,no\n',
        says="line 4: a quotation mark",
    ),
    Bad(what="a quote within", content='age,plan,churned\n1,"a" b,no\n2,c,yes\n', says=r"line 2: .* write it twice"),
    Bad(what="a header only", content="age,plan,churned\n", says=r"churn\.csv: has a header and no rows"),
    Bad(
        what="an unknown format",
        file="churn.xlsx",
        says=r"churn\.xlsx: unknown format '\.xlsx'; use one of \.csv, .*\.parquet",
    ),
    Bad(what="no suffix", file="churn", says=r"churn: unknown format ''; use one of"),
    Bad(what="binary junk", content=bytes(range(256)) * 20, says=r"churn\.csv: holds binary data, not text"),
    Bad(what="junk without zeros", content=bytes(range(1, 9)) * 90 + b"\xff", says="holds binary data, not text"),
    Bad(what="an image", content=b"\x89PNG\r\n\x1a\n" + b"\0" * 99, says=r"churn\.csv: is an image, not a CSV file"),
    Bad(what="a workbook called CSV", content=b"PK\x03\x04" + b"\0" * 99, says="is a ZIP archive or a workbook.*CSV"),
    Bad(
        what="Parquet called CSV",
        content=lambda path: churn(9).write_parquet(path),
        says=r"churn\.csv: is a Parquet file, not a CSV file; name it \.parquet",
    ),
    Bad(
        what="an unreadable Parquet file", file="churn.parquet", content=b"PAR1junk", says=r"cannot be read as PARQUET"
    ),
    Bad(what="text called Parquet", file="churn.parquet", says=r"churn\.parquet: cannot be read as PARQUET"),
    Bad(what="CSV called JSON lines", file="churn.jsonl", says=r"churn\.jsonl: cannot be read as JSONL"),
    Bad(
        what="a cut-off gzip file",
        file="churn.csv.gz",
        content=b"\x1f\x8b\x08\0",
        says="is not a gzip file, or is damaged",
    ),
    Bad(
        what="a damaged gzip file",
        file="churn.csv.gz",
        content=gzip.compress(CSV.encode())[:60] + bytes(99),
        says="is not a gzip file, or is damaged",
    ),
    Bad(
        what="a quotation mark left open",
        content='"age,spend,plan,churned\n' + "30,2.5,pro,yes\n" * 20_000,
        says="cannot be read as CSV: field larger than field limit .*; is a quotation mark left open",
    ),
    Bad(what="text called gzip", file="churn.csv.gz", says=r"churn\.csv\.gz: is not a gzip file"),
    Bad(what="text called NPZ", file="churn.npz", says=r"churn\.npz: is no NPZ file; save X and y"),
    Bad(
        what="NPZ without its arrays",
        file="churn.npz",
        content=savez(a=np.zeros((4, 2)), b=np.zeros(4)),
        says=r"has no array 'X' \[rows, columns\] \(and 'y' \[rows\]\); it holds a, b",
    ),
    Bad(what="NPZ without y", file="churn.npz", content=savez(X=np.zeros((4, 2))), says="has no array 'y'.*it holds X"),
    Bad(
        what="NPZ of unequal lengths",
        file="churn.npz",
        content=savez(X=np.zeros((4, 2)), y=np.zeros(5)),
        says="X has 4 rows and y has 5; they must agree",
    ),
    Bad(
        what="pickled objects in NPZ",
        file="churn.npz",
        content=savez(X=np.array([[{}, 1]], dtype=object), y=np.zeros(1)),
        says="it holds Python objects, which are never loaded",
    ),
    Bad(
        what="junk as NPZ",
        file="churn.npz",
        content=b"\x07\xf3" * 1500,
        says=r"churn\.npz: is no NPZ file; save X and y",
    ),
    Bad(
        what="a folder of nothing",
        content=lambda path: (path / "inner").mkdir(parents=True),
        says=r"churn\.csv: is a folder; name a file \(it holds no images and no texts\)",
    ),
    Bad(
        what="infinity in JSON",
        file="churn.jsonl",
        content='{"age": Infinity, "churned": "yes"}\n{"age": 1.5, "churned": "no"}\n',
        says=r"churn\.jsonl: holds Infinity, which is no number of JSON",
    ),
    Bad(what="an unknown encoding", data={"encoding": "utf8000"}, says="unknown encoding 'utf8000'; try 'utf-8'"),
    Bad(
        what="the wrong encoding",
        content=CSV.replace("plus", "größe").encode("cp1252"),
        data={"encoding": "utf-8"},
        says=r"churn\.csv: is not text in utf-8: .*; try another encoding",
    ),
    Bad(
        what="the wrong delimiter",
        content=CSV.replace(",", ";"),
        data={"delimiter": ","},
        says=r"delimiter ',' finds one column, 'age;spend;plan;churned'; write delimiter = ';'",
    ),
    Bad(what="a delimiter of two characters", data={"delimiter": "||"}, says=r"'\|\|' must be one character"),
    Bad(what="an unknown delimiter", content=CSV.replace(",", "~"), says="has one column, 'age~spend.*write delimiter"),
    Bad(what="one column", content="churned\nyes\nno\n", says="has one column, 'churned'; a table needs a target and"),
    Bad(what="a ragged line", content=CSV + "1,2,basic,yes,7,8\n", says="line 62 has 6 fields, the header has 4; mend"),
    Bad(
        what="duplicate columns",
        content=CSV.replace("spend", "age"),
        says=r"two columns are called 'age' \(number 1 and 2\); rename one",
    ),
    Bad(what="no header", content="1,2,3\n4,5,6\n", says="the first line holds numbers, not column names"),
    Bad(
        what="an absent target",
        data={"target": "churnd"},
        says=r"churn\.csv: no column 'churnd'; did you mean 'churned'\? Columns: age, spend, plan, churned",
    ),
    Bad(
        what="no target", data={"target": ""}, says="which column is the target.*--target COLUMN .*Columns: age, spend"
    ),
    Bad(what="a target named twice", data={"target": ["age", "age"]}, says="target .* names a column twice"),
    Bad(what="one class only", content=with_target(["yes"] * 60), says="'churned' has one class only, 'yes'; there is"),
    Bad(
        what="an all-missing target",
        content=with_target([None] * 60),
        says="every value of target 'churned' is missing",
    ),
    Bad(
        what="a target with missing values",
        content=with_target([None, *YES_NO[1:]]),
        says="target 'churned' is missing in 1 of 60 rows; mend them, or write missing_target = 'drop'",
    ),
    Bad(
        what="text in a numeric target",
        content=with_target([0.5 + i for i in range(58)] + ["high", "low"]),
        says="column 'churned': 2 rows hold text where a number belongs.*'high', 'low'",
    ),
    Bad(
        what="text where regression needs numbers",
        options={"task": "regression"},
        says="'churned': 60 rows hold text where a number belongs .'(yes|no)', '(yes|no)'.; mend them, or write task",
    ),
    Bad(
        what="a constant numeric target",
        content=with_target([2.5] * 60),
        options={"task": "regression"},
        says="target 'churned' is 2.5 in every row; there is nothing to learn",
    ),
    Bad(
        what="an infinite target",
        content=with_target([0.5 + i for i in range(59)] + ["inf"]),
        says="target 'churned' is infinite in 1 row; mend them",
    ),
    Bad(
        what="a target of names",
        content=with_target([f"person {i}" for i in range(60)]),
        says="60 different values in 60 rows, too many for classes; is it the right column",
    ),
    Bad(
        what="several targets of text",
        data={"target": ["plan", "churned"]},
        says="column 'plan': 60 rows hold text where a number belongs",
    ),
    Bad(
        what="several targets for classification",
        data={"target": ["age", "spend"]},
        options={"task": "classification"},
        says="2 targets, but classification has one",
    ),
    Bad(what="a dropped target", data={"drop": ["churned"]}, says="'churned' is listed both in drop and in target"),
    Bad(
        what="an unknown column in drop",
        data={"drop": ["agee"]},
        says=r"no column \(listed in drop\) 'agee'; did you mean 'age'\?",
    ),
    Bad(
        what="a column that is two things",
        data={"numbers": ["age"], "categories": ["age"]},
        says="column 'age' is listed both in numbers and in categories; keep one",
    ),
    Bad(
        what="text in a column that must hold numbers",
        data={"numbers": ["plan"]},
        says="column 'plan': 60 rows hold text where a number belongs .*; it is listed in numbers",
    ),
    Bad(
        what="no dates in a date column",
        data={"dates": ["plan"]},
        says="'plan' is listed in dates, but '.*' is no known date",
    ),
    Bad(
        what="infinite values",
        content=CSV + "33,inf,pro,no\n33,-inf,pro,no\n",
        says="column 'spend' is infinite in (1 row|2 rows); mend them",
    ),
    Bad(
        what="numbers without a deviation",
        content=CSV.replace(",pro,", "e200,pro,"),
        says=r"column 'spend' holds numbers as large as \d\.\d+e\+20\d, too large .*; divide.* in drop",
    ),
    Bad(
        what="targets without a deviation",
        content=with_target([1e200 * (i + 0.5) for i in range(60)]),
        says=r"target 'churned' holds numbers as large as 5.95e\+201, too large for a mean",
    ),
    Bad(
        what="nothing to learn from",
        data={"drop": ["age", "spend", "plan"]},
        says="no column is left to learn from",
    ),
    Bad(
        what="useless columns only",
        content="a,b,y\n" + "".join(f"1,,{i % 2}\n" for i in range(50)),
        data={"target": "y"},
        says="no column is left to learn from .*'a': constant.*'b': every value is missing",
    ),
    Bad(
        what="short texts only",
        content="name,lang\n" + "".join(f"name {i // 2},{'de' if i % 2 else 'en'}\n" for i in range(100)),
        data={"target": "lang"},
        says=r"'name': text: .*list it in numbers or categories, or learn from texts: -S objective\.name=text \(\[obj",
    ),
    Bad(
        what="paths of images only",
        content=pictures,
        data={"target": "shown"},
        says=r"or learn from images: -S objective\.name=image \(\[objective\] name = \"image\" in a study file\)",
    ),
    Bad(
        what="paths of images of which one is not there",
        content=lambda path: pictures(path, missing="pics/007.png"),
        data={"target": "shown"},
        says=r"or learn from texts: -S objective\.name=text",
    ),
    Bad(what="one row", content="age,plan,churned\n1,a,yes\n", says="one class only|has 1 row, too few"),
    Bad(
        what="one row of numbers",
        content="age,plan,cost\n1,a,2.5\n",
        data={"target": "cost"},
        options={"task": "regression"},
        says="2.5 in every row",
    ),
    Bad(what="two rows", content="age,churned\n1,yes\n2,no\n", says="has 2 rows, too few to train on and score"),
    Bad(
        what="two rows of each class",
        content=with_target([f"class {i // 2}" for i in range(60)]),
        says="every class has fewer than 3 rows; is the target the right column",
    ),
    Bad(
        what="fewer rows than classes in a part",
        content=with_target(["a", "b", "c", "d"] * 15),
        data={"validation": 0.05},
        says="validation = 0.05 of the rows is 3, fewer than the 4 classes; raise it, or write stratify = false",
    ),
    Bad(
        what="an empty part",
        data={"validation": 0.001, "stratify": False},
        says="validation = 0.001 of the rows is 0 of .*; each part needs a row",
    ),
    Bad(
        what="fractions that leave nothing",
        data={"validation": 0.6, "test": 0.4},
        says="validation = 0.6 and test = 0.4 leave no rows to train on; together they must be below 1",
    ),
    Bad(what="a fraction above 1", data={"validation": 20}, says="validation = 20: input should be less than 1"),
    Bad(
        what="a negative fraction", data={"test": -0.1}, says="test = -0.1: input should be greater than or equal to 0"
    ),
    Bad(
        what="too few groups",
        content=churn(60).with_columns(pl.Series("plan", ["pro", "plus"] * 30)).write_csv(),
        data={"groups": "plan"},
        says="groups = 'plan' has 2 different values, too few to split by: each of 3 parts needs one; choose",
    ),
    Bad(
        what="an absent group column",
        data={"groups": "planet"},
        says=r"no column \(groups\) 'planet'; did you mean 'plan'",
    ),
    Bad(
        what="a split column with other words",
        data={"split_column": "plan"},
        says="split_column 'plan' holds '(plus|basic|pro)'; write training, validation or test",
    ),
    Bad(
        what="a split column without validation",
        content=churn(60).with_columns(pl.lit("train").alias("part")).write_csv(),
        data={"split_column": "part"},
        says="split_column 'part' has no row for validation",
    ),
    Bad(
        what="a split column and a fraction",
        data={"split_column": "plan", "validation": 0.3},
        says="split_column and validation exclude each other; keep one",
    ),
    Bad(what="an absent positive class", data={"positive": "yess"}, says="has no class 'yess'; did you mean 'yes'"),
    Bad(
        what="a positive class of three",
        data={"positive": "pro", "target": "plan"},
        says="positive = 'pro' needs two classes; target 'plan' has 3",
    ),
    Bad(
        what="a metric of the other task",
        options={"metric": "r2"},
        says="metric 'r2' is for regression, but the task is classification",
    ),
    Bad(
        what="a mistyped metric",
        options={"metric": "acuracy"},
        says="unknown metric 'acuracy'; did you mean 'accuracy'",
    ),
    Bad(what="a loss of the other task", options={"loss": "mse"}, says="loss = 'mse' is for regression"),
    Bad(
        what="class weights for regression",
        data={"target": "spend"},
        options={"class_weights": "balanced"},
        says="class_weights is for classification; this is regression",
    ),
    Bad(
        what="a weight for no class",
        options={"class_weights": {"yess": 2.0}},
        says="class_weights names 'yess', which is no class; did you mean 'yes'",
    ),
    Bad(
        what="a mistyped key",
        data={"targt": "churned"},
        says=r"study.toml \[data\]: unknown key 'targt'; did you mean 'target'",
    ),
    Bad(what="a mistyped task", options={"task": "clasification"}, says=r"\[objective\]: task = 'clasification'"),
    Bad(
        what="missing values of another kind",
        data={"missing": "zero"},
        says=r"missing = 'zero': input should be 'median' or 'mean'",
    ),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.what.replace(" ", "_"))
def test_bad_input_is_refused_in_one_clear_line(bad: Bad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if callable(bad.content):
        bad.content(tmp_path / bad.file)
    else:
        write(tmp_path, bad.file, bad.content)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(TunerError, match=bad.says) as caught:
        make_table(bad.options, **({"source": bad.file, "target": "churned"} | bad.data)).load()
    assert isinstance(caught.value, UsageError)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert sorted(tmp_path.rglob("*")) == before


HEADER = "age,spend,plan,churned\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("age,plan,churned\n30,pro,yes\n", "column 'spend' absent, which churn.csv has"),
        ("age,spend,plan\n30,2.5,pro\n", "column 'churned' absent, which churn.csv has"),
        (HEADER + "30,2.5,pro,maybe\n", "target 'churned' has classes that training lacks: 'maybe'; known: 'no'"),
        (HEADER + "30,lots,pro,yes\n", "column 'spend' holds 'lots' where training had numbers"),
        (HEADER, "has a header and no rows"),
        (HEADER + "30,2.5,pro,\n", "every value of target 'churned' is missing"),
    ],
)
@pytest.mark.parametrize("part", ["validation_file", "test_file"])
def test_a_file_for_another_part_must_fit_the_training_file(part: str, content: str, says: str, tmp_path: Path) -> None:
    source, more = write(tmp_path, "churn.csv", CSV), write(tmp_path, "more.csv", content)
    data: dict[str, Any] = {"source": source, "target": "churned", part: more}
    with pytest.raises(UsageError, match=f"^more.csv: {says}"):
        make_table(**data).load()
