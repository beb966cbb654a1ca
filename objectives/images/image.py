"""Images as an objective: a convolutional network on their pixels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives.images import datasets
from objectives.images.hyperparameters import NETWORK, augmentation
from objectives.images.options import ImageData, ImageOptions
from objectives.images.recognition import are_photos, is_images
from objectives.supervised import Supervised
from tuner.hyperparameters import Hyperparameter, with_training

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from objectives.images.preparing import PreparedImages
    from objectives.tables.target import Target
    from tuner.models.samples import Samples
    from tuner.training.data import Dataset

IMAGES = "images.json"
"""The file of a kept model that says how images are made ready, and what the outputs mean."""


class Image(Supervised):
    """Images in class folders, in files that a table names, or in arrays; classification or regression."""

    Options = ImageOptions
    Data = ImageData
    data_sets = datasets.NAMES
    imports = ("objectives.images.preparing", "objectives.images.network", "sklearn.model_selection")

    def __init__(self, options: ImageOptions, data: ImageData, *, seed: int) -> None:
        super().__init__(options, data, seed=seed)
        self._images: PreparedImages | None = None

    @classmethod
    def recognises(cls, source: Path) -> bool:
        """Whether ``source`` is a folder of class folders with images, or arrays of three axes or more."""
        return is_images(source)

    @property
    def images(self) -> PreparedImages:
        """The prepared images; :meth:`load` makes them."""
        if self._images is None:
            raise RuntimeError("call load() first")
        return self._images

    @property
    def target(self) -> Target:
        return self.images.target

    @property
    def where(self) -> str:
        return self.images.where

    def encoded_targets(self) -> dict[str, NDArray[Any]]:
        return {name: part.targets for name, part in self.images.parts.items()}

    def load(self) -> Dataset:
        import torch

        from objectives.images.preparing import prepare_images

        self._images = prepare_images(self.data, task=self.options.task, seed=self.seed)
        self.check_options()
        return self.dataset({name: (torch.from_numpy(part.pixels),) for name, part in self._images.parts.items()})

    def hyperparameters(self) -> Sequence[Hyperparameter]:
        """Return what may be searched; augmentation is, by default, where the images are coloured."""
        return with_training((*NETWORK, *augmentation(photos=are_photos(self.data))))

    def network(self, params: Mapping[str, Any]) -> nn.Module:
        from objectives.images.augmentation import Augmentation
        from objectives.images.network import ConvolutionalNetwork

        changes = {name: params[name] for name in (hyper.name for hyper in augmentation(photos=False))}
        return ConvolutionalNetwork(
            shape=self.images.shape,
            outputs=self.target.outputs,
            means=self.images.means,
            deviations=self.images.deviations,
            depth=int(params["depth"]),
            width=int(params["width"]),
            growth=float(params["growth"]),
            kernel=int(params["kernel"]),
            activation=params["activation"],
            normalization=params["normalization"],
            pooling=params["pooling"],
            head=params["head"],
            dropout=float(params["dropout"]),
            augmentation=Augmentation(**changes) if any(changes.values()) else None,
        )

    def artifacts(self, params: Mapping[str, Any]) -> dict[str, bytes]:
        """Return how images are made ready, and what the outputs mean."""
        return {IMAGES: json.dumps(self.images.to_json(), ensure_ascii=False).encode()}

    def restore(self, files: Mapping[str, bytes], params: Mapping[str, Any]) -> None:
        from objectives.images.preparing import PreparedImages
        from tuner.models.samples import held

        self._images = PreparedImages.from_json(held(files, IMAGES))

    def samples(self, data: Any, params: Mapping[str, Any]) -> Samples:
        """Return the images of a folder, a table of paths, an image file, an NPZ or NPY file, or an array."""
        from objectives.images.new_images import NewImages

        return NewImages(told=self.data, images=self.images, known=self.known_targets).read(data)

    def describe(self) -> dict[str, Any]:
        """Return what was found: parts, target, the size of the images, and notes for a person."""
        images = self.images
        channels, height, width = images.shape
        return {
            "source": images.where,
            "rows": {part: len(values.targets) for part, values in images.parts.items()},
            "target": self.describe_target(),
            "images": {"height": height, "width": width, "channels": channels, "unreadable": images.unreadable},
            "mean": dict(zip(_named(channels), images.means, strict=True)),
            "deviation": dict(zip(_named(channels), images.deviations, strict=True)),
            "notes": list(images.notes),
        }


def _named(channels: int) -> list[str]:
    """What to call the channels of an image."""
    known = {1: ["grey"], 3: ["red", "green", "blue"], 4: ["red", "green", "blue", "alpha"]}
    return known.get(channels, [f"channel {number}" for number in range(1, channels + 1)])
