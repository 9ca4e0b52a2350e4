"""The images of a new task: which settings `--images` stands for, and a first look at all of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from nern.config import expand
from nern.data.cropping import center_crop
from nern.data.decoding import decode, pixels
from nern.data.folders import Listing, list_splits, read_bytes
from nern.data.sources import class_names, read_source
from nern.data.splits import SPLITS, Split, check_splits
from nern.errors import NernError
from nern.init.options import Options, asked_number, blaming, validated
from nern.seeding import generator
from nern.settings import DigitsImages, FolderImages, Images, ParquetImages, Settings, TorchvisionImages

OPTION = "--images"
MODELS: dict[str, type[Settings]] = {
    "folder": FolderImages,
    "parquet": ParquetImages,
    "torchvision": TorchvisionImages,
    "digits": DigitsImages,
}
TESTED = 200
"""Test images that the original is tried on."""
LOOKED_AT = 1000
"""Training images that a stream is judged by."""
_MEASURED = 100
"""Images of a folder whose sizes are looked at."""
_TESTS = ("test", "val", "validation")
_PART = re.compile(r"-(\d+)-of-(\d+)")
"""In the names of files of the Hugging Face hub: which part of how many a file is."""


@dataclass(frozen=True)
class Seen:
    """What was seen of a task's images.

    Attributes:
        counts: images of each split.
        train: uint8 [n, C, H, W], all of them or `LOOKED_AT` of a stream.
        test: uint8 [m, C, H, W], `TESTED` of them or all.
        labels: int64 [m], theirs.
    """

    counts: dict[Split, int]
    train: Tensor
    test: Tensor
    labels: Tensor

    def moments(self) -> tuple[list[float], list[float]]:
        """Mean and deviation of each channel of the training images, in units of the largest pixel, to four digits."""
        sums = torch.zeros(2, self.train.shape[1], dtype=torch.float64)
        for part in self.train.split(100):  # integers: their sums in float64 are exact
            values = part.double()
            sums += torch.stack([values.sum((0, 2, 3)), values.square().sum((0, 2, 3))])
        mean, square = sums / (self.train.numel() / self.train.shape[1])
        std = (square - mean.square()).clamp_min(0).sqrt()
        return _four_digits(mean / 255), _four_digits(std / 255)


def _four_digits(values: Tensor) -> list[float]:
    return [round(value, 4) for value in values.tolist()]


def settings_of(options: Options) -> Images:
    """The `images` of a task.

    Raises:
        NernError: `--images` is none of the known forms, or an option does not fit the source.
    """
    kind, _, place = options.images.partition(":")
    if kind not in MODELS or bool(place) == (kind == "digits"):
        raise NernError(
            f"{OPTION} {options.images}: write folder:PATH, parquet:PATH, folder:TRAIN,TEST, parquet:TRAIN,TEST, "
            "torchvision:CIFAR10, torchvision:CIFAR100 or digits"
        )
    said = options.given("size", "resize", "streaming", "image_column", "label_column") | {"source": kind}
    if kind == "torchvision":
        said["dataset"] = place
    elif kind != "digits":
        train, test = _both(kind, place)
        said["train"], said["test"] = (train, test) if kind == "folder" else (_files(train), _files(test))
    if kind == "folder" and (options.size is None) != (options.resize is None):
        said["size"] = said["resize"] = options.size or options.resize  # the whole of a square image
    images = cast(Images, validated(MODELS[kind], said, OPTION))
    if isinstance(images, FolderImages) and "size" not in said:
        return _as_large_as_they_are(images)
    return images


def _both(kind: str, place: str) -> tuple[str, str]:
    """Where the training and the test images lie."""
    if "," in place:
        train, _, test = place.partition(",")
        return train, test
    root, suffixes = expand(place, OPTION), (".parquet", "-*.parquet") if kind == "parquet" else ("",)
    for test in _TESTS:
        found = [[f"{name}{end}" for end in suffixes if any(root.glob(f"{name}{end}"))] for name in ("train", test)]
        if all(found):
            if both := next((" beside ".join(names) for names in found if len(names) > 1), ""):
                raise NernError(f"{OPTION} {kind}:{place}: holds {both}; name those that are meant, {kind}:TRAIN,TEST")
            return str(Path(place, found[0][0])), str(Path(place, found[1][0]))
    train, test, other = (" or ".join(f"{name}{end}" for end in suffixes) for name in ("train", "test", "val"))
    raise NernError(f"{OPTION} {kind}:{place}: holds no {train} beside {test} or {other}; name both, {kind}:TRAIN,TEST")


def _files(pattern: str) -> list[str]:
    """The files that a name or a pattern stands for, as it is written."""
    path = Path(pattern)
    names = sorted(found.name for found in expand(str(path.parent), OPTION).glob(path.name))
    if not names:
        raise NernError(f"{OPTION} parquet:…: there is no file {pattern}; give existing files, or patterns such as *")
    parts = [(int(part[1]), int(part[2])) for name in names if (part := _PART.search(name))]
    if parts and "*" in path.name:
        count = parts[0][1]
        # the parts of an older copy, or a file of another name, would be images twice, or others
        if len(parts) != len(names) or sorted(parts) != [(number, count) for number in range(count)]:
            raise NernError(
                f"{OPTION} parquet:…: {pattern} stands for {_few(names)}, which are not the parts of one set of "
                "images, each once; move the others away, or give a pattern of those that are meant"
            )
    return [str(path.with_name(name)) for name in names]


def _few(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")


def _as_large_as_they_are(images: FolderImages) -> FolderImages:
    """The size of the images, if they are square and alike; else that of ImageNet's."""
    listing = list_splits(images, OPTION)["train"]
    sizes = set()
    with blaming(OPTION):
        for index in range(0, len(listing), max(1, len(listing) // _MEASURED)):
            path = listing.path(index)
            sizes.add(decode(read_bytes(path), 3, str(path)).size)
    (width, height), *others = sizes
    if others or width != height:
        return images
    return images.model_copy(update={"size": width, "resize": width})


def classes_of(options: Options, images: Images) -> tuple[int, list[str]]:
    """How many classes there are, and what they are called; NernError if nobody says how many."""
    names = class_names(images, OPTION)
    count = options.classes or len(names)
    return count or asked_number("classes", "how many, for the images do not say"), names


def look(images: Images, channels: int, classes: int) -> Seen:
    """Decode the images, as the stage that prepares them will; of a stream, some.

    Raises:
        NernError: one cannot be decoded, or they do not fit the task.
    """
    if isinstance(images, FolderImages) and images.streaming:
        listings = list_splits(images, OPTION, classes)
        counts = {split: len(listings[split]) for split in SPLITS}
        train, _ = _decoded(images, listings["train"], channels, _some(counts["train"], LOOKED_AT))
        test, labels = _decoded(images, listings["test"], channels, _some(counts["test"], TESTED))
        return Seen(counts, train, test, labels)
    splits = read_source(images, OPTION, channels, classes)
    check_splits(splits, classes, channels, OPTION)
    counts = {split: len(splits[split][1]) for split in SPLITS}
    test, labels = splits["test"]
    chosen = _some(counts["test"], TESTED)
    return Seen(counts, splits["train"][0], test[chosen], labels[chosen])


def _some(count: int, wanted: int) -> Tensor:
    """Indices of so many images, or all, of every class alike: sources often hold one class after another."""
    return torch.randperm(count, generator=generator(0, "init"))[:wanted]


def _decoded(
    images: FolderImages, listing: Listing, channels: int, chosen: Sequence[int] | Tensor
) -> tuple[Tensor, Tensor]:
    found, labels = [], []
    for index in map(int, chosen):
        path = listing.path(index)
        image = decode(read_bytes(path), channels, str(path))
        found.append(pixels(center_crop(image, images.resize, images.size)))
        labels.append(int(listing.labels[index]))
    return torch.from_numpy(np.stack(found)), torch.tensor(labels)
