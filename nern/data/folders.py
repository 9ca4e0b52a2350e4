"""Image folders: one folder a split, one sub-folder a class, classes numbered in the order of their names."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nern.config import expand
from nern.data.contents import SUFFIXES, class_files, file_size
from nern.data.cropping import center_crop
from nern.data.decoding import Pixels, check_channels, decode, pixels
from nern.data.splits import SPLITS, Split, Splits, check_apart, digest
from nern.errors import NernError
from nern.provenance import cores
from nern.settings import FolderImages

_MEMORY = 8 * 2**30
"""Bytes of pixels above which a folder is not read into memory."""
_SAMPLE = 200
"""How many test images are looked for among the training images, where none are decoded; up to twice as many."""


@dataclass(frozen=True)
class Listing:
    """The images of one split, sorted by class and path.

    Attributes:
        root: The split's folder.
        classes: Names of its sub-folders, sorted.
        files: Paths below the root, as bytes [n]: an array, because a list of a million strings would be copied into
            every process that decodes.
        labels: int64 [n].
    """

    root: Path
    classes: tuple[str, ...]
    files: "np.ndarray[tuple[int], np.dtype[np.bytes_]]"
    labels: "np.ndarray[tuple[int], np.dtype[np.int64]]"

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> Path:
        """The file of one image."""
        return self.root / os.fsdecode(self.files[index].item())


def list_classes(root: Path, where: str) -> list[str]:
    """The names of a split's sub-folders, sorted as text: torchvision's order of classes.

    Raises:
        NernError: the folder is missing or has no classes.
    """
    try:
        classes = sorted(e.name for e in os.scandir(root) if e.is_dir() and not e.name.startswith("."))
    except OSError as error:
        raise NernError(f"{where}: {root}: cannot be listed ({error.strerror}); give an existing folder") from None
    if not classes:
        raise NernError(f"{where}: {root}: has no sub-folders; put each class's images into a folder of its own")
    return classes


def list_folder(root: Path, where: str) -> Listing:
    """List a split. Hidden entries and files that are no images are passed over; links are followed, but in no circle.

    Raises:
        NernError: the folder is missing or has no classes, or a class has no images or a folder that cannot be listed.
    """
    classes = list_classes(root, where)
    files: list[bytes] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(class_files(os.fsencode(root), os.fsencode(name)))
        if not found:
            raise NernError(f"{where}: {root / name}: holds no images ({', '.join(SUFFIXES)}); add some or remove it")
        files += found
        labels += [label] * len(found)
    return Listing(root, tuple(classes), np.array(files), np.array(labels, dtype=np.int64))


def list_splits(images: FolderImages, where: str, classes: int | None = None) -> dict[Split, Listing]:
    """Both splits.

    Raises:
        NernError: as `list_folder`, or the splits have different classes, or not as many as the task, or the same
            folder, or `size` does not fit into `resize`.
    """
    if images.size > images.resize:
        raise NernError(f"{where}: size {images.size} does not fit into resize {images.resize}; make resize larger")
    entries: dict[Split, str] = {"train": images.train, "test": images.test}
    found = {split: list_folder(expand(entries[split], f"{where}.{split}"), f"{where}.{split}") for split in SPLITS}
    differing = sorted(set(found["train"].classes) ^ set(found["test"].classes))
    if differing:
        raise NernError(f"{where}: class folder {differing[0]!r} is in one split only; both need the same classes")
    have = len(found["train"].classes)
    if classes is not None and have != classes:
        raise NernError(f"{where}: there are {have} class folders, but the task has {classes} classes: set classes")
    _check_apart(found, where)
    return found


def _check_apart(found: dict[Split, Listing], where: str) -> None:
    """No folder of images, by whatever way, is one of two splits or of two classes."""
    seen: dict[Path, tuple[Split, str]] = {}
    for split, listing in found.items():
        for folder in sorted({file.rpartition(b"/")[0] for file in listing.files.tolist()}):
            path = listing.root / os.fsdecode(folder)
            ours = (split, os.fsdecode(folder.partition(b"/")[0]))
            theirs = seen.setdefault(path.resolve(), ours)
            if theirs != ours:
                raise NernError(
                    f"{where}.{split}: {path} is read already, as {theirs[1]} of {where}.{theirs[0]}; give each class "
                    "and each split images of its own: no network is tested on training images"
                )


def check_files_apart(found: dict[Split, Listing], where: str) -> None:
    """`check_apart` by the content of files that are not decoded: a sample of the test images, evenly spread.

    Raises:
        NernError: more than a tenth of it are copies of training images, or a file cannot be read.
    """
    training, test = found["train"], found["test"]
    sample = [test.path(index) for index in range(0, len(test), max(1, len(test) // _SAMPLE))]
    sizes = {file_size(os.fsencode(path)) for path in sample}
    root = os.fsencode(training.root)  # a Path a file would cost ImageNet seconds
    alike = [file for file in training.files.tolist() if file_size(root + b"/" + file) in sizes]
    contents = {digest(read_bytes(training.root / os.fsdecode(file))) for file in alike}
    check_apart(contents, (digest(read_bytes(path)) for path in sample), where)


def read_bytes(path: Path) -> bytes:
    """An encoded image; NernError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise NernError(f"{path}: cannot be read ({error.strerror}); run prepare_data again if it moved") from None


def read_folders(images: FolderImages, where: str, channels: int, classes: int | None = None) -> Splits:
    """Both splits in memory: each image resized and cropped in the middle, training images too.

    Raises:
        NernError: a folder cannot be listed, an image cannot be decoded, or there are too many for memory.
    """
    check_channels(channels, where)
    splits: Splits = {}
    for split, listing in list_splits(images, where, classes).items():
        size = len(listing) * channels * images.size**2
        if size > _MEMORY:
            raise NernError(
                f"{where}.{split}: {len(listing)} images of {images.size}x{images.size} are {size / 2**30:.0f} GiB "
                "in memory; set streaming: true"
            )

        def one(index: int, listing: Listing = listing) -> Pixels:
            path = listing.path(index)
            image = decode(read_bytes(path), channels, str(path))
            return pixels(center_crop(image, images.resize, images.size))

        # Pillow decodes and scales photographs outside Python's lock.
        with ThreadPoolExecutor(max(1, min(images.workers, cores()))) as pool:
            decoded = list(pool.map(one, range(len(listing))))
        splits[split] = (torch.from_numpy(np.stack(decoded)), torch.from_numpy(listing.labels))
    return splits
