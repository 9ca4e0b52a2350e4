"""Images a second: augmentation of whole batches on the device, beside torchvision's transforms in a DataLoader.

    python benchmarks/loading.py [--device cuda] [--seconds 5] [--workers 2] [--batch 256]

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

from nern.config import Augmentation
from nern.data.batches import ImageBatches
from nern.data.prepared import ImageSet
from nern.networks.torchvision_shim import import_torchvision
from nern.provenance import processor
from nern.seeding import generator

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


def main() -> None:
    """Measure both and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--workers", type=int, default=2, help="processes of the DataLoader")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of this process")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--images", type=int, default=50_000, help="how many to generate")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = torch.device(given.device)
    images = torch.randint(256, (given.images, 3, 32, 32), dtype=torch.uint8, generator=generator(0, "benchmark"))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    print(f"torch {torch.__version__}, {name}, batch {given.batch}, {given.images} generated images of 3x32x32\n")
    ours = rate(per_batch(images, given.batch, device), given.seconds, device)
    theirs = rate(per_image(images, given.batch, given.workers, device), given.seconds, device)
    print("| batches by | images/s | times |\n|---|---|---|")
    print(f"| torchvision transforms, DataLoader, {given.workers} workers | {theirs:,.0f} | 1.0 |")
    print(f"| nern, {given.device}, {given.threads} CPU thread(s) | {ours:,.0f} | {ours / theirs:.1f} |")


if __name__ == "__main__":
    main()
