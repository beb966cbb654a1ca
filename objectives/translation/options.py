"""What a study file may say about a translation: its ``[objective]`` and ``[data]`` keys."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from objectives.tables.options import Text, Texts, check_split
from tuner.trainable import DataOptions, ObjectiveOptions


class TranslationOptions(ObjectiveOptions):
    """``[objective]`` of a translation."""

    metric: str | list[str] = Field(
        "",
        description="what is optimised, on the validation part; several give a Pareto front: exact_match (default), "
        "token_accuracy, edit_distance, perplexity. Each token is foretold from the right ones before it",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of the probability that cross entropy spreads over all tokens"
    )
    decoded: int = Field(
        200, ge=0, description="validation texts that a finished trial translates by itself, for its final scores"
    )
    beam: int = Field(4, ge=1, le=64, description="hypotheses that are followed at a time; 1: the likeliest next token")
    length_penalty: float = Field(
        0.6, ge=0, le=5, description="how much a longer translation is favoured over a shorter one; 0: not at all"
    )


class TranslationData(DataOptions):
    """``[data]`` of a translation: pairs of texts."""

    source: str = Field(
        "",
        description="a CSV, TSV, Parquet or JSON lines file with a pair in each row, or a built-in data set: cmudict",
    )
    source_text: Text = Field("", description="the column of texts to translate; default: the only other one")
    target: Text = Field("", description="the column of their translations")
    limit: int = Field(0, ge=0, description="most pairs that are used, drawn by the seed; 0: all")
    longest: int | None = Field(
        None,
        ge=1,
        description="characters after which a text is cut; default: what leaves 99 % of the training texts whole, "
        "at least 64, at most 512",
    )

    validation: float = Field(0.2, gt=0, lt=1, description="fraction of the pairs that scores trials")
    test: float = Field(
        0.2, ge=0, lt=1, description="fraction of the pairs that the search never sees; 0: none are kept"
    )
    split_column: Text = Field("", description="a column that says training, validation or test for each pair")
    validation_file: str = Field("", description="a file with the validation pairs, instead of a fraction")
    test_file: str = Field("", description="a file with the test pairs, instead of a fraction")

    missing_values: Texts = Field(
        [], description="further texts that mean 'missing', beside NA, N/A, NaN, null, None, ? and nothing"
    )
    delimiter: str = Field("", max_length=2, description="between the fields of a CSV file; default: found out")
    encoding: str = Field("", description="of a CSV file; default: UTF-8, UTF-16 by its mark, else Windows-1252")
    header: bool = Field(True, description="whether a CSV file's first line names the columns")

    @field_validator("target", "source_text", mode="before")
    @classmethod
    def _one(cls, column: object) -> object:
        if isinstance(column, list):
            raise ValueError("a translation has one column here, not a list")
        return column

    @model_validator(mode="after")
    def _agrees(self) -> TranslationData:
        check_split(self)
        if self.target and self.target == self.source_text:
            raise ValueError(f"source_text and target are both '{self.target}'; they must be two columns")
        return self
