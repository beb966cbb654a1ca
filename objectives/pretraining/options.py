"""What a study file may say about pre-training: its ``[objective]`` and ``[data]`` keys."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from objectives.tables.options import Text, Texts
from tuner.trainable import DataOptions, ObjectiveOptions


class PretrainingOptions(ObjectiveOptions):
    """``[objective]`` of pre-training."""

    metric: str | list[str] = Field(
        "",
        description="what is optimised, on the validation part: perplexity (default), token_accuracy, exact_match, "
        "edit_distance; of the tokens that are masked, or of all next ones",
    )
    learns: Literal["masked", "next_token"] = Field(
        "masked",
        description="masked: tokens that were hidden, from both sides (for an encoder, as BERT); next_token: each "
        "token from those before it (as GPT)",
    )
    mask_share: float = Field(0.15, gt=0, lt=1, description="share of the tokens that are to be found out")


class PretrainingData(DataOptions):
    """``[data]`` of pre-training."""

    source: str = Field(
        "",
        description="a .txt file, a folder of them, a table with a column of texts (CSV, TSV, Parquet, JSON lines), "
        "or a built-in data set: locale_names",
    )
    text: Text = Field("", description="of a table: the column of the texts; default: its only one, or 'text'")
    unit: Literal["line", "paragraph", "file"] = Field(
        "line", description="of .txt files: what is a text; a longer one than max_length becomes several"
    )
    validation: float = Field(0.1, gt=0, lt=1, description="fraction of the texts that scores trials")
    missing_values: Texts = Field([], description="of a table: further texts that mean 'missing'")
    delimiter: str = Field("", max_length=2, description="between the fields of a CSV file; default: found out")
    encoding: str = Field("", description="of a file; default: UTF-8, UTF-16 by its mark, else Windows-1252")
    header: bool = Field(True, description="whether a CSV file's first line names the columns")
