"""From stored pixels to a network's input: which images a step sees, crop and flip, normalization, noise.

Each step draws from a stream that its number names: it sees the same images if the run was killed before it, too. The
arithmetic is on whole batches, on the device. Inputs are training images, or noise where there are no data (paper,
sections 4 and 4.3).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from nern.seeding import generator

Noise = Literal["uniform", "uniform-2", "normal"]


def normalize(
    images: Tensor,
    mean: Sequence[float] | Tensor,
    std: Sequence[float] | Tensor,
    dtype: torch.dtype = torch.float32,
    *,
    channels_last: bool = False,
) -> Tensor:
    """(x / 255 - mean) / std per channel: uint8 [n, C, H, W] to float [n, C, H, W].

    Tensors as `mean` and `std` must lie on the images' device already; lists are copied there.
    """
    center = torch.as_tensor(mean, dtype=dtype, device=images.device).view(1, -1, 1, 1)
    spread = torch.as_tensor(std, dtype=dtype, device=images.device).view(1, -1, 1, 1)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return images.to(dtype, memory_format=layout).div_(255).sub_(center).div_(spread)


@dataclass(frozen=True)
class Draws:
    """What is random in the augmentation of n images.

    Attributes:
        top: int64 [n], the first row of the crop in the padded image.
        left: int64 [n], its first column.
        flip: bool [n], whether it is then mirrored.
    """

    top: Tensor
    left: Tensor
    flip: Tensor


def draw(count: int, *, padding: int, flip: bool, generator: torch.Generator) -> Draws:
    """Crops at all (2·padding + 1)² places are equally likely; a mirrored image has probability 1/2, or 0."""
    device = generator.device
    top, left = torch.randint(2 * padding + 1, (2, count), generator=generator, device=device)
    mirrored = torch.randint(2, (count,), generator=generator, device=device).bool()
    return Draws(top, left, mirrored if flip else torch.zeros_like(mirrored))


def crop_and_flip(images: Tensor, padding: int, draws: Draws) -> Tensor:
    """Pad uint8 [n, C, H, W] with zeros, cut the drawn window of the image's own size, mirror where drawn.

    Zeros are black pixels: padding comes before normalization, as in torchvision's transforms on Pillow images.
    """
    if padding:
        height, width = images.shape[2:]
        # A view of all windows [n, C, 2p + 1, 2p + 1, H, W]; indexing it copies one window an image and nothing else.
        windows = F.pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
        images = windows[torch.arange(len(images), device=images.device), :, draws.top, draws.left]
    return torch.where(draws.flip.view(-1, 1, 1, 1), images.flip(3), images)


def epoch_order(count: int, seed: int, purpose: str, epoch: int) -> Tensor:
    """The order of images in one epoch: int64 [count], on the CPU, so that every device sees the same."""
    return torch.randperm(count, generator=generator(seed, f"{purpose}/order", epoch))


def epoch_slices(count: int, batch: int, step: int) -> list[tuple[int, int, int]]:
    """Where the batch of a step lies: (epoch, start, stop), several where it runs over the end of an epoch.

    The epochs form one endless row and a batch is its next `batch` places, so every batch is full.
    """
    first, end = step * batch, (step + 1) * batch
    pieces = []
    while first < end:
        epoch, start = divmod(first, count)
        stop = min(count, start + end - first)
        pieces.append((epoch, start, stop))
        first += stop - start
    return pieces


def noise(kind: Noise, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Inputs without data, float32 on the generator's device: U[-1, 1], U[-2, 2] or N(0, 1)."""
    if kind == "normal":
        return torch.randn(*shape, generator=generator, device=generator.device)
    bound = 2.0 if kind == "uniform-2" else 1.0
    return torch.rand(*shape, generator=generator, device=generator.device).mul_(2 * bound).sub_(bound)


def epochs_to_steps(epochs: int, count: int, batch: int) -> int:
    """Steps that see every image at least `epochs` times."""
    return math.ceil(epochs * count / batch)


def completed_epochs(steps: int, count: int, batch: int) -> int:
    """How many times so many steps have seen every image; batches run on over the ends of epochs."""
    return steps * batch // count
