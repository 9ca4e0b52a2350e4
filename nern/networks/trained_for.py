"""What weights were trained for, as far as their file or torchvision says: the order of classes, mean and deviation.

Wrong ones give no error, only a low accuracy: labels are numbers, and a network takes any image.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nern.errors import NernError
from nern.networks.loading import is_safetensors
from nern.networks.torchvision_shim import import_torchvision

TOLERANCE = 0.01
"""Means and deviations are published with two to four digits."""
_CLASSES = ("classes", "class_names", "categories", "names", "class_to_idx", "idx_to_class")


@dataclass(frozen=True)
class TrainedFor:
    """Names of the classes in the order of the outputs, each channel's mean and deviation of pixels from 0 to 1.

    Each is empty if it is not known.
    """

    classes: list[str]
    mean: list[float]
    std: list[float]


def said_by_torchvision(name: str) -> TrainedFor:
    """Of one entry of torchvision's weights, which must be there."""
    entry: Any = import_torchvision("torchvision.models").get_weight(name)
    transforms = entry.transforms() if hasattr(entry, "transforms") else None
    numbers = (_numbers(getattr(transforms, key, None)) for key in ("mean", "std"))
    return TrainedFor(_names(getattr(entry, "meta", {}).get("categories")), *numbers)


def said_by_file(path: Path) -> TrainedFor:
    """Of a checkpoint that keeps such things beside its tensors; one that was read as a state dict."""
    with path.open("rb") as file:  # of a path, torch reads the suffix
        loaded: object = {} if is_safetensors(file) else torch.load(file, map_location="cpu", weights_only=True)
    found = {key: value for each in reversed(_around(loaded)) for key, value in each.items()}
    classes = next((names for key in _CLASSES if (names := _names(found.get(key)))), [])
    return TrainedFor(classes, *_of_pixels_up_to_1(_numbers(found.get("mean")), _numbers(found.get("std"))))


def _around(value: object) -> list[Mapping[Any, object]]:
    """The mappings in which a state dict lies, the outermost first.

    A state dict itself is none of them: its mean and std are buffers of a network that normalizes its images itself.
    """
    if not isinstance(value, Mapping) or _is_bare(value):
        return []
    inner = [mapping for each in value.values() for mapping in _around(each)]
    return [value, *inner] if inner or any(map(_is_bare, value.values())) else []


def _is_bare(value: object) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(each, torch.Tensor) for each in value.values())


def check(said: TrainedFor, *, classes: Sequence[str], mean: Sequence[float], std: Sequence[float], where: str) -> None:
    """Compare what weights were trained for with a task.

    Args:
        said: what is known of the weights.
        classes: the names of the task's classes in the order of their labels; empty if unknown.
        mean: the task's, a number a channel.
        std: the task's, a number a channel.
        where: the weights, for messages.

    Raises:
        NernError: the classes are the same in another order, or mean or deviation are others.
    """
    for key, numbers, ours in (("mean", said.mean, mean), ("std", said.std, std)):
        theirs = of_channels(numbers, len(ours))
        same = len(theirs) == len(ours) and all(abs(a - b) <= TOLERANCE for a, b in zip(theirs, ours, strict=True))
        if theirs and not same:
            raise NernError(f"{where}: was trained with {key} {theirs}, but the task has {list(ours)}; set it to that")
    differing = [n for n, (a, b) in enumerate(zip(said.classes, classes, strict=False)) if a != b]
    if differing and sorted(said.classes) == sorted(classes):
        number = differing[0]
        raise NernError(
            f"{where}: its class {number} is {said.classes[number]!r}, but the task's is {classes[number]!r}: the "
            "order is another; name the class folders so that they sort alike (numbers with leading zeros)"
        )


def of_channels(numbers: list[float], channels: int) -> list[float]:
    """A mean or a deviation for each channel; one number is that of all of them."""
    return numbers * channels if len(numbers) == 1 else numbers


def _of_pixels_up_to_1(mean: list[float], std: list[float]) -> tuple[list[float], list[float]]:
    """Mean and deviation of pixels from 0 to 1; where they are of bytes, both divided by 255, which is the same."""
    if max(map(abs, mean + std), default=0) <= 1:
        return mean, std
    if max(map(abs, mean + std)) > 255:  # of what, nobody knows
        return [], []
    return [round(number / 255, 6) for number in mean], [round(number / 255, 6) for number in std]


def _names(value: object) -> list[str]:
    """A list of names, from a list or from a mapping of names and numbers in either direction."""
    if isinstance(value, Mapping):
        pairs = [(key, name) if isinstance(key, int) else (name, key) for key, name in value.items()]
        if not all(isinstance(number, int) for number, _ in pairs):
            return []
        value = [name for _, name in sorted(pairs, key=lambda pair: pair[0])]
    return [str(name) for name in value] if isinstance(value, list | tuple) else []


def _numbers(value: object) -> list[float]:
    """A list of finite numbers, from one number, a list, or a tensor that is long in one dimension: [C, 1, 1], say."""
    if isinstance(value, torch.Tensor):
        value = value.flatten().tolist() if value.numel() == max(value.shape, default=1) else None
    value = [value] if isinstance(value, int | float) else value
    if not isinstance(value, list | tuple) or not all(isinstance(number, int | float) for number in value):
        return []
    # a float of 32 bits has seven digits
    return [float(f"{number:.7g}") for number in value] if all(map(math.isfinite, value)) else []
