"""Tables for the tests, written to files as people have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from objectives.tables import Table
from objectives.tables.options import TableData
from objectives.tables.preparing import PreparedTable, prepare_table
from tuner.sections import validate


def write(folder: Path, name: str, text: str | bytes) -> str:
    """Write a file and return its path."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def make_table(options: dict[str, Any] | None = None, *, seed: int = 0, **data: Any) -> Table:
    """Return a table as a study file with these ``[data]`` keys would make it, not yet loaded."""
    checked = validate(Table.Options, options or {}, where="study.toml [objective]")
    return Table(checked, validate(Table.Data, data, where="study.toml [data]"), seed=seed)


def churn(rows: int = 200, *, seed: int = 0) -> pl.DataFrame:
    """A small table of customers: numbers, a category, a yes/no target that depends on them."""
    generator = np.random.default_rng(seed)
    age = generator.integers(18, 80, rows)
    spend = generator.gamma(2.0, 50.0, rows).round(2)
    plan = generator.choice(["basic", "plus", "pro"], rows, p=[0.5, 0.3, 0.2])
    chance = 1 / (1 + np.exp(-(0.05 * (50 - age) + 0.01 * (100 - spend) + (plan == "basic"))))
    churned = np.where(generator.random(rows) < chance, "yes", "no")
    return pl.DataFrame({"age": age, "spend": spend, "plan": plan, "churned": churned})


def messy(rows: int = 400, *, seed: int = 0) -> pl.DataFrame:
    """30 % missing values, 12 categorical columns, a date-like text, an id column, and what else turns up."""
    generator = np.random.default_rng(seed)
    columns: dict[str, list[str | None]] = {"customer_id": [f"C{100000 + i}" for i in range(rows)]}
    signal = generator.normal(size=rows)
    for i in range(12):
        sizes = [2, 3, 4, 5, 8, 30][i % 6]
        levels = np.clip(np.round(signal * (i < 4) * sizes / 4 + generator.exponential(sizes / 3, rows)), 0, sizes - 1)
        columns[f"category {i}"] = [f"level {int(level)}" for level in levels]
    days = generator.integers(0, 1500, rows)
    columns["signed up"] = [str(np.datetime64("2021-03-01") + int(day)) for day in days]
    columns["income"] = [f"${value:,.2f}" for value in 30000 + 9000 * signal + generator.normal(0, 4000, rows)]
    columns["share"] = [f"{value:.1f}%" for value in generator.uniform(0, 100, rows)]
    columns["visits"] = [str(value) for value in generator.poisson(4, rows)]
    columns["constant"] = ["EU"] * rows
    columns["empty"] = [None] * rows
    columns["remark"] = [f"called on day {day}, said {generator.integers(10**6)}" for day in days]
    for name, values in columns.items():
        if name not in ("customer_id", "constant"):
            gone = generator.random(rows) < 0.3
            columns[name] = [None if missing else value for value, missing in zip(values, gone, strict=True)]
    columns["left"] = [
        ["no", "yes"][int(value + noise > 0)]
        for value, noise in zip(signal, generator.normal(0, 0.3, rows), strict=True)
    ]
    return pl.DataFrame(columns)


def prepare(frame: pl.DataFrame, folder: Path, *, task: str = "auto", seed: int = 0, **data: Any) -> PreparedTable:
    """Write a frame to a file, and prepare it as a study would; the last column is the target."""
    path = folder / "table.parquet"
    frame.write_parquet(path)
    return prepare_table(TableData(source=str(path), **({"target": frame.columns[-1]} | data)), task=task, seed=seed)


def marked(frame: pl.DataFrame) -> pl.DataFrame:
    """With a number that tells each row apart, so that parts can be compared."""
    return frame.select(pl.Series("mark", np.random.default_rng(9).normal(size=frame.height)), pl.all())


def marks(table: PreparedTable, part: str) -> set[float]:
    """The numbers of a part's rows, of a table that was :func:`marked`."""
    return set(np.round(table.parts[part].inputs[:, table.preprocessing.features.index("mark")], 5).tolist())
