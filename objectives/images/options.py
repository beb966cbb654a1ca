"""What a study file may say about images: its ``[data]`` keys beside those of all labelled rows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from objectives.supervised import SupervisedOptions
from objectives.tables.options import LabelledData, Names, Text

MOST_SIDE = 2048
"""Pixels of a side that images may be resized to."""


class ImageOptions(SupervisedOptions):
    """``[objective]`` of images."""


class ImageData(LabelledData):
    """``[data]`` of images."""

    source: str = Field(
        "",
        description="a folder of class folders (in train, validation and test folders, if you like), a table of paths, "
        "an NPZ or NPY file of arrays, or a built-in data set: digits, photo_patches",
    )
    target: Names = Field(
        "",
        description="the column, or the array, to predict; class folders need none, NPZ files none if it is called y, "
        "labels or target",
    )
    image_column: Text = Field("", description="the column of paths in a table; default: the one that holds paths")
    image_folder: str = Field("", description="where the paths of a table start; default: the folder of the table")
    layout: Literal["auto", "NHWC", "NCHW", "NHW"] = Field(
        "auto", description="the axes of an array: images, height, width, channels; auto: by their lengths"
    )
    size: int | list[int] = Field(
        [],
        description="what images are resized to: one side or [height, width]; default: that of most, at most 64",
        examples=[64],
    )
    fit: Literal["stretch", "crop", "pad"] = Field(
        "stretch", description="how an image of another shape is made to fit: all of it, its middle, or with a margin"
    )
    channels: Literal["auto", "grey", "colour"] = Field("auto", description="auto: colour where any image has it")

    @field_validator("size")
    @classmethod
    def _possible(cls, size: int | list[int]) -> int | list[int]:
        sides = [size] if isinstance(size, int) else size
        if len(sides) > 2 or any(not 1 <= side <= MOST_SIDE for side in sides):
            raise ValueError(f"write one side or [height, width], each from 1 to {MOST_SIDE} pixels")
        return size

    def wanted_size(self) -> tuple[int, int] | None:
        """Return the height and width that a person asked for, if they did."""
        if isinstance(self.size, int):
            return self.size, self.size
        return (self.size[0], self.size[-1]) if self.size else None
