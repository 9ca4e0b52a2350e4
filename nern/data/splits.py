"""What a split is, and the checks that hold for every source before anything is written."""

import hashlib
import logging
from collections.abc import Collection, Iterable
from typing import Literal

import torch
from torch import Tensor

from nern.errors import NernError

Split = Literal["train", "test"]
Splits = dict[Split, tuple[Tensor, Tensor]]
"""Images uint8 [n, C, H, W] and labels int64 [n], by split."""

SPLITS: tuple[Split, ...] = ("train", "test")

log = logging.getLogger(__name__)

_SHARED = 0.1
"""Of the test images, how many may be training images, too: CIFAR-100 itself has ten in ten thousand."""


def check_splits(splits: Splits, classes: int, channels: int, where: str) -> None:
    """Refuse splits that do not fit the task.

    Raises:
        NernError: a split is empty, sizes differ, a label is out of range, or the channels are not the task's.
    """
    for name in SPLITS:
        images, labels = splits[name]
        if images.dtype != torch.uint8 or images.ndim != 4 or labels.dtype != torch.int64:
            raise TypeError(f"a split is uint8 [n, C, H, W] and int64 [n], not {images.dtype} and {labels.dtype}")
        if len(images) == 0 or len(images) != len(labels):
            raise NernError(f"{where}: the {name} split has {len(images)} images and {len(labels)} labels; check it")
        if images.shape[1] != channels:
            raise NernError(
                f"{where}: the {name} images have {images.shape[1]} channel(s), but the task's mean and std have "
                f"{channels}: give one number a channel"
            )
        wrong = (labels < 0) | (labels >= classes)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            raise NernError(
                f"{where}: the {name} split has label {int(labels[row])} at image {row}, but labels run from 0 to "
                f"{classes - 1}: mend the data, or the task's classes"
            )
    shapes = {name: tuple(splits[name][0].shape[2:]) for name in SPLITS}
    if shapes["train"] != shapes["test"]:
        raise NernError(
            f"{where}: training images are {shapes['train'][0]}x{shapes['train'][1]} but test images are "
            f"{shapes['test'][0]}x{shapes['test'][1]} pixels: bring them to one size"
        )


def digest(image: bytes) -> bytes:
    """What stands for an image where it is compared with many: 16 bytes for its pixels, or its file's content."""
    return hashlib.blake2b(image, digest_size=16).digest()


def image_digests(images: Tensor) -> Iterable[bytes]:
    """`digest` of each image's pixels.

    Args:
        images: uint8 [n, C, H, W].
    """
    return (digest(image.tobytes()) for image in images.numpy())


def check_apart(training: Collection[bytes], test: Iterable[bytes], where: str) -> None:
    """Say how many test images are training images, too, byte for byte, and refuse splits that share many.

    Args:
        training: the digests of the training images.
        test: those of the test images, or of a sample of them.
        where: the place of the images in the configuration.

    Raises:
        NernError: more than a tenth of the test images are training images.
    """
    hits = [each in training for each in test]
    said = f"{sum(hits):,} of {len(hits):,} test images are training images, too"
    if sum(hits) > _SHARED * len(hits):
        raise NernError(f"{where}.test: {said}; test on other images than those of training")
    if any(hits):
        log.warning("%s.test: %s", where, said)
