"""Kept networks for the tests of predictions, beside what the trained network itself says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from torch import Tensor

from tests.tuner import studies
from tuner.models.inference import Predictor, load_model
from tuner.models.keeping import Rebuilt, keep, rebuild
from tuner.training import predict

ONE_TRIAL: dict[str, Any] = {"search": {"sampler": "random", "pruner": "none"}, "budget": {"trials": 1}}


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A network that was kept, and how it was trained."""

    model: Predictor
    place: Path
    rebuilt: Rebuilt

    def outputs(self) -> Tensor:
        """Return what the trained network says of the validation part, as training saw it."""
        member = self.rebuilt.member
        assert member.dataset is not None
        return predict(member.module, member.dataset.validation.feeds)


def kept(folder: Path, **tables: Any) -> Kept:
    """Run a study of one trial in the folder and keep its network."""
    results = studies.create(folder, **ONE_TRIAL | tables)
    studies.work(results)
    place = keep(results).place
    storage = f"sqlite:///{folder / 'tuner.db'}"
    return Kept(model=load_model("quick", storage=storage), place=Path(place), rebuilt=rebuild(results))


def in_parts(frame: pl.DataFrame, *, every: int = 4) -> pl.DataFrame:
    """Return the frame with a column that puts one row of so many into the validation part."""
    parts = ["validation" if row % every == 0 else "training" for row in range(frame.height)]
    return frame.with_columns(pl.Series("part", parts))


def validation(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the validation part alone."""
    return frame.filter(pl.col("part") == "validation").drop("part")
