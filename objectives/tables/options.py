"""What a study file may say about a table: its ``[objective]`` and ``[data]`` keys.

Those that every objective of rows with targets has (tables, images, texts) are classes of their own.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from pydantic import BeforeValidator, Field, model_validator

from objectives.supervised import SupervisedOptions
from tuner.trainable import DataOptions


def _as_text(value: object) -> object:
    """A number that ``-S data.positive=1`` or YAML read is the text of it; a truth value, the word."""
    if isinstance(value, list):
        return [_as_text(inner) for inner in value]
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _as_one_text(value: object) -> object:
    if isinstance(value, list):
        written = ", ".join(map(str, value))
        raise ValueError(f"is a list, not one text; a text with a comma in it is written '\"{written}\"'")
    return _as_text(value)


Text = Annotated[str, BeforeValidator(_as_one_text)]
Texts = Annotated[list[str], BeforeValidator(_as_text)]
Names = Annotated[str | list[str], BeforeValidator(_as_text)]


def as_list(names: Names) -> list[str]:
    """Return one name or several as a list; an empty name is none."""
    return ([names] if names else []) if isinstance(names, str) else list(names)


class SaysTheSplit(Protocol):
    """``[data]`` that says which rows are in which part."""

    @property
    def model_fields_set(self) -> set[str]: ...
    @property
    def validation(self) -> float: ...
    @property
    def test(self) -> float: ...
    @property
    def split_column(self) -> str: ...
    @property
    def validation_file(self) -> str: ...
    @property
    def test_file(self) -> str: ...


def check_split(data: SaysTheSplit) -> None:
    """Refuse what says twice how the rows are split, or leaves none to train on.

    Raises:
        ValueError: naming the keys.
    """
    written = data.model_fields_set
    for whole, fraction in (("validation_file", "validation"), ("test_file", "test")):
        if getattr(data, whole) and fraction in written:
            raise ValueError(f"{fraction} and {whole} exclude each other; keep one")
    if data.split_column:
        for other in ("validation", "test", "groups", "validation_file", "test_file"):
            if other in written:
                raise ValueError(f"split_column and {other} exclude each other; keep one")
    shares = (0 if data.validation_file else data.validation) + (0 if data.test_file else data.test)
    if shares >= 1:
        raise ValueError(
            f"validation = {data.validation:g} and test = {data.test:g} leave no rows to train on; "
            "together they must be below 1"
        )


class TableOptions(SupervisedOptions):
    """``[objective]`` of a table."""


class LabelledData(DataOptions):
    """``[data]`` of rows with targets: where they are, what is predicted, how they are split and read."""

    source: str = Field("", description="a CSV, TSV, Parquet, JSON lines or NPZ file")
    target: Names = Field("", description="the column to predict; several numeric ones for regression")
    positive: Text = Field(
        "", description="of two classes, the one that precision, recall, F1 and FPR speak of; else the last by name"
    )

    validation: float = Field(0.2, gt=0, lt=1, description="fraction of the rows that scores trials")
    test: float = Field(
        0.2, ge=0, lt=1, description="fraction of the rows that the search never sees; 0: none are kept"
    )
    stratify: bool = Field(True, description="give every part the same share of each class")
    groups: Text = Field("", description="a column; rows with the same value in it stay in one part")
    split_column: Text = Field("", description="a column that says training, validation or test for each row")
    validation_file: str = Field("", description="a file with the validation rows, instead of a fraction")
    test_file: str = Field("", description="a file with the test rows, instead of a fraction")

    missing_target: Literal["refuse", "drop"] = Field(
        "refuse", description="what happens to rows without a target: refuse the data, or drop these rows"
    )
    missing_values: Texts = Field(
        [], description="further texts that mean 'missing', beside NA, N/A, NaN, null, None, ? and nothing"
    )
    delimiter: str = Field("", max_length=2, description="between the fields of a CSV file; default: found out")
    encoding: str = Field("", description="of a CSV file; default: UTF-8, UTF-16 by its mark, else Windows-1252")
    header: bool = Field(True, description="whether a CSV file's first line names the columns")

    @model_validator(mode="after")
    def _is_one_split(self) -> LabelledData:
        check_split(self)
        targets = as_list(self.target)
        if len(set(targets)) != len(targets):
            raise ValueError(f"target = {targets} names a column twice")
        return self


class TableData(LabelledData):
    """``[data]`` of a table."""

    source: str = Field(
        "",
        description="a CSV, TSV, Parquet, JSON lines or NPZ file, or a built-in data set: "
        "iris, wine, breast_cancer, digits, diabetes, linnerud",
    )
    drop: Texts = Field([], description="columns that are not used")
    numbers: Texts = Field([], description="columns that hold numbers, whatever they look like")
    categories: Texts = Field([], description="columns that hold categories, whatever they look like")
    dates: Texts = Field([], description="columns that hold dates, whatever they look like")

    missing: Literal["median", "mean"] = Field("median", description="what stands in for a missing number")
    least_rows: int | None = Field(
        None, ge=1, description="rarer levels of a category share one 'other'; default: 0.5 % of the rows, at least 3"
    )
    max_categories: int = Field(50, ge=2, description="most levels of a category; the rarest share one 'other'")

    @model_validator(mode="after")
    def _agrees(self) -> TableData:
        lists = {"drop": self.drop, "numbers": self.numbers, "categories": self.categories, "dates": self.dates}
        lists["target"] = as_list(self.target)
        seen: dict[str, str] = {}
        for key, names in lists.items():
            for name in dict.fromkeys(names):
                if name in seen and {key, seen[name]} != {"numbers", "target"}:
                    raise ValueError(f"column '{name}' is listed both in {seen[name]} and in {key}; keep one")
                seen[name] = key
        return self
