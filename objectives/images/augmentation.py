"""Images changed by chance while a network learns from them: other examples of the same thing."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample


class Augmentation(nn.Module):
    """Each image is mirrored, moved, turned, scaled and lit by chance of its own.

    The numbers come from torch's global generator, which the engine seeds by trial and epoch. What moves out of the
    picture is gone; what comes in is its edge, continued.

    Args:
        flip: whether half of the images are mirrored, left to right.
        shift: the most an image moves, as a share of its sides.
        rotation: the most it turns either way, in degrees.
        zoom: the most it grows or shrinks, as a share of its size.
        brightness: the most that is added to or taken from all its pixels, in their standard deviations.
        contrast: the most its pixels are multiplied by, more or less than 1.

    Shape: standardised pixels ``[B, C, H, W] → [B, C, H, W]``.
    """

    def __init__(
        self,
        *,
        flip: bool = False,
        shift: float = 0.0,
        rotation: float = 0.0,
        zoom: float = 0.0,
        brightness: float = 0.0,
        contrast: float = 0.0,
    ) -> None:
        super().__init__()
        self.flip = flip
        self.shift = shift
        self.rotation = rotation
        self.zoom = zoom
        self.brightness = brightness
        self.contrast = contrast

    def forward(self, images: Tensor) -> Tensor:
        if self.flip:
            mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
            images = torch.where(mirrored, images.flip(-1), images)
        if self.shift or self.rotation or self.zoom:
            images = self._moved(images)
        if self.contrast:
            images = images * (1 + self._drawn(images, self.contrast).view(-1, 1, 1, 1))
        if self.brightness:
            images = images + self._drawn(images, self.brightness).view(-1, 1, 1, 1)
        return images

    def _moved(self, images: Tensor) -> Tensor:
        """Images seen through a window that is moved, turned and scaled."""
        height, width = images.shape[2:]
        angle = self._drawn(images, math.radians(self.rotation))
        scale = 1 + self._drawn(images, self.zoom)
        across, down = 2 * self._drawn(images, self.shift), 2 * self._drawn(images, self.shift)
        cosine, sine = scale * angle.cos(), scale * angle.sin()
        # the window's sides are both 2 long: turning must know which of them is longer
        rows = [
            torch.stack([cosine, -sine * height / width, across], 1),
            torch.stack([sine * width / height, cosine, down], 1),
        ]
        grid = affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
        moved: Tensor = grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return moved

    @staticmethod
    def _drawn(images: Tensor, most: float) -> Tensor:
        """One number for each image ``[B]``, between ``-most`` and ``most``."""
        return ((2 * torch.rand(len(images), device=images.device) - 1) * most).to(images.dtype)
