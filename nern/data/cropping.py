"""The geometry of ImageNet images: resize and center crop for tests, a random area and shape for training.

The rules are those of torchvision's reference training (He et al. 2015; paper, section 4.3): bilinear with
anti-aliasing, on Pillow images.
"""

import math
import random

from PIL import Image
from PIL.Image import Resampling, Transpose

AREA = (0.08, 1.0)
"""Share of the image that a training crop covers, uniform."""
ASPECT = (3 / 4, 4 / 3)
"""Width over height of a training crop, uniform in its logarithm."""


def center_crop(image: Image.Image, resize: int, size: int) -> Image.Image:
    """The shorter side brought to `resize`, then the `size` x `size` pixels in the middle (`size` <= `resize`)."""
    width, height = image.size
    short = min(width, height)
    # Integers: the longer side is rounded down, and the shorter is `resize` exactly.
    scaled = (resize * width // short, resize * height // short)
    image = image.resize(scaled, Resampling.BILINEAR)
    left, top = round((scaled[0] - size) / 2), round((scaled[1] - size) / 2)
    return image.crop((left, top, left + size, top + size))


def random_box(width: int, height: int, source: random.Random) -> tuple[int, int, int, int]:
    """A training crop (left, top, right, bottom) inside an image of the given size.

    Ten tries at an area and an aspect that fit; else the largest box in the middle whose aspect is allowed. Only
    `random()` is called: it alone is promised to give the same numbers in every version of Python.
    """
    for _ in range(10):
        area = width * height * (AREA[0] + (AREA[1] - AREA[0]) * source.random())
        aspect = ASPECT[0] * (ASPECT[1] / ASPECT[0]) ** source.random()
        wide, high = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < wide <= width and 0 < high <= height:
            left, top = int(source.random() * (width - wide + 1)), int(source.random() * (height - high + 1))
            return left, top, left + wide, top + high
    aspect = min(max(width / height, ASPECT[0]), ASPECT[1])
    wide, high = min(width, max(1, round(height * aspect))), min(height, max(1, round(width / aspect)))
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high


def random_crop(image: Image.Image, size: int, flip: bool, source: random.Random) -> Image.Image:
    """A random box scaled to `size` x `size`, mirrored with probability 1/2 if `flip`."""
    box = random_box(*image.size, source)
    image = image.crop(box).resize((size, size), Resampling.BILINEAR)
    mirrored = source.random() < 0.5
    return image.transpose(Transpose.FLIP_LEFT_RIGHT) if flip and mirrored else image
