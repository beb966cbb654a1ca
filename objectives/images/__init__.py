"""Images: folders of class folders, tables of paths, or arrays; grey, coloured, or of any channels."""

from objectives.images.image import Image

__all__ = ["Image"]
