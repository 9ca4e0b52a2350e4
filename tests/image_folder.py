"""Write scikit-learn's digits as a folder of images, a stand-in for ImageNet's: python tests/image_folder.py FOLDER."""

import sys
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

SIDE = 40
COUNTS = {"train": 4, "val": 3}
"""Images of each class."""


def write(folder: Path) -> None:
    digits = load_digits()
    for label in range(10):
        chosen = iter(digits.images[digits.target == label])
        for split, count in COUNTS.items():
            home = folder / split / f"digit-{label}"
            home.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = (next(chosen) * 15).astype("uint8")
                image = Image.fromarray(pixels).convert("RGB").resize((SIDE, SIDE))
                image.save(home / f"{number}.png")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
