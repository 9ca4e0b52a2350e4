"""Images a second: augmentation of whole batches on the device, beside torchvision's transforms in a DataLoader.

    python -m benchmarks.loading [--device cuda] [--seconds 5] [--workers 2] [--batch 256]

Both crop (padding 4), mirror and normalize the same generated images of CIFAR's size, and both deliver float batches
on the device; they run one after the other in this process, a warm-up before each.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.table import HEADER, Row, end, machine, markdown
from nern.data.batches import ImageBatches
from nern.data.prepared import ImageSet
from nern.networks.torchvision_shim import import_torchvision
from nern.seeding import generator
from nern.settings import Augmentation

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class Generated(Dataset[Tensor]):
    """The images as torchvision's CIFAR10 hands them out: one Pillow image at a time, through the transforms."""

    def __init__(self, images: Tensor, transform: Callable[[Image.Image], Tensor]) -> None:
        self.images, self.transform = images.permute(0, 2, 3, 1).contiguous().numpy(), transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(Image.fromarray(self.images[index]))


def per_image(images: Tensor, batch: int, workers: int, device: torch.device) -> Iterator[Tensor]:
    """Batches of torchvision's transforms, epoch after epoch."""
    transforms: Any = import_torchvision().transforms
    transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    loader = DataLoader(
        Generated(images, transform),
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
    )
    while True:
        for inputs in loader:
            yield inputs.to(device, non_blocking=True)


def per_batch(images: Tensor, batch: int, device: torch.device) -> Iterator[Tensor]:
    """Batches of this project."""
    made = ImageBatches(
        ImageSet(images.to(device), torch.zeros(len(images), dtype=torch.int64, device=device)),
        mean=MEAN,
        std=STD,
        augmentation=Augmentation(padding=4, flip=True),
        batch=batch,
        seed=0,
        purpose="benchmark",
    )
    step = 0
    while True:
        yield made.batch(step)
        step += 1


def rate(stream: Iterator[Tensor], seconds: float, device: torch.device) -> float:
    """Images a second over at least `seconds`, after 20 batches that do not count."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    for _ in range(20):
        next(stream)
    wait()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        # The clock is looked at once in ten batches, and only when the device has really done them.
        count += sum(len(next(stream)) for _ in range(10))
        wait()
    return count / (time.perf_counter() - start)


def row(device: torch.device, *, batch: int = 256, workers: int = 2, count: int = 50_000, seconds: float = 5) -> Row:
    """Both, one after the other, on one CPU thread of this process."""
    torch.set_num_threads(1)
    images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator(0, "benchmark"))
    ours = rate(per_batch(images, batch, device), seconds, device)
    theirs = rate(per_image(images, batch, workers, device), seconds, device)
    what = f"augmented images, beside torchvision in a DataLoader with {workers} workers"
    return Row(what, "images/s", ours, theirs, rate=True)


def main() -> None:
    """Measure both and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--workers", type=int, default=2, help="processes of the DataLoader")
    parser.add_argument("--batch", type=int, default=256)
    given = parser.parse_args()
    device = torch.device(given.device)
    print(f"{machine(device)}, batch {given.batch}, 50,000 generated images of 3×32×32\n")
    found = row(device, batch=given.batch, workers=given.workers, seconds=given.seconds)
    print(markdown(HEADER, [found.cells()]))


if __name__ == "__main__":
    end(main)
