"""What a split is, and the checks that hold for every source before anything is written."""

from typing import Literal

import torch
from torch import Tensor

from nern.errors import NernError

Split = Literal["train", "test"]
Splits = dict[Split, tuple[Tensor, Tensor]]
"""Images uint8 [n, C, H, W] and labels int64 [n], by split."""

SPLITS: tuple[Split, ...] = ("train", "test")


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
