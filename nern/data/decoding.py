"""Encoded images to pixels, by Pillow: what torchvision's image folders use too."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from nern.errors import NernError

Pixels = NDArray[np.uint8]

_GRAY = ("1", "L", "LA", "I", "I;16", "F")


def decode(content: bytes, channels: int, where: str) -> Image.Image:
    """An image in mode L (1 channel) or RGB (3 channels).

    Raises:
        NernError: the bytes are no image, or the image is in color and the task takes gray.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            if channels == 1 and image.mode not in _GRAY:
                raise NernError(
                    f"{where}: the image is in color (mode {image.mode}), but the task's mean and std have one "
                    "channel: give three numbers"
                )
            return image.convert("L" if channels == 1 else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = "no image format that Pillow knows" if isinstance(error, UnidentifiedImageError) else error
        raise NernError(f"{where}: cannot be decoded ({reason}); replace the image or remove it") from None


def check_channels(channels: int, where: str) -> None:
    """Encoded images are gray or in color; NernError for any other number of channels."""
    if channels not in (1, 3):
        raise NernError(f"{where}: images are read with 1 or 3 channels, but the task's mean has {channels} numbers")


def pixels(image: Image.Image) -> Pixels:
    """The image as uint8 [C, H, W]."""
    array = np.asarray(image, dtype=np.uint8)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))
