"""What a study file may say about texts: its ``[data]`` keys beside those of all labelled rows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from objectives.supervised import SupervisedOptions
from objectives.tables.options import LabelledData, Names, Text, as_list


class TextOptions(SupervisedOptions):
    """``[objective]`` of texts."""

    pretrained: str = Field(
        "",
        description="a kept model of objective 'pretraining' to begin with (name, folder or URL): it gives tokenizer "
        "and encoder, and fine-tuning is what is searched; default: the network begins by chance",
        examples=["locale_names"],
    )


class TextData(LabelledData):
    """``[data]`` of texts."""

    source: str = Field(
        "",
        description="a CSV, TSV, Parquet or JSON lines file, a folder of class folders of .txt files (in train, "
        "validation and test folders, if you like), or a built-in data set: languages",
    )
    target: Names = Field(
        "", description="the column to predict; several numeric ones for regression; class folders need none"
    )
    text: Text = Field("", description="the column of the texts; default: the one that plainly holds them")
    missing_text: Literal["drop", "empty", "refuse"] = Field(
        "drop", description="what happens to rows without a text: they are dropped, count as empty, or are refused"
    )

    @model_validator(mode="after")
    def _agrees(self) -> TextData:
        if self.text and self.text in as_list(self.target):
            raise ValueError(f"column '{self.text}' is both the text and the target; choose another one for either")
        return self
