"""A tiny trained network and its images, of three colors, for tests of `nern init`."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from PIL import Image

from nern.cli import main
from nern.networks.cifar_resnet import CifarResNet
from nern.networks.zoo import build

ROOT = Path(__file__).parents[1]
COLORS = ("blue", "green", "red")
COUNTS = {"train": 9, "val": 5}
SIDE = 8


def picture(label, seed):
    """[8, 8, 3]: noise with one channel brighter."""
    noise = np.random.default_rng(seed).integers(100, size=(SIDE, SIDE, 3))
    noise[..., 2 - label] += 120
    return noise.astype(np.uint8)


PICTURES = {
    split: [(label, picture(label, [seed, label, len(split)])) for label in range(3) for seed in range(count)]
    for split, count in COUNTS.items()
}
TRAIN = np.stack([pixels for _, pixels in PICTURES["train"]])
MEAN, STD = (TRAIN / 255).mean((0, 1, 2)), (TRAIN / 255).std((0, 1, 2))


def inputs(split, mean=MEAN, std=STD):
    pixels = np.stack([pixels for _, pixels in PICTURES[split]]) / 255
    images = torch.tensor((pixels - mean) / std, dtype=torch.float32).permute(0, 3, 1, 2)
    return images, torch.tensor([label for label, _ in PICTURES[split]])


def resnet(shortcut="A", classes=3, depth=8, channels=3):
    torch.manual_seed(0)
    return CifarResNet(depth, classes=classes, width=4, shortcut=shortcut, in_channels=channels)


def trained():
    """A network that knows the three colors."""
    network, (images, labels) = resnet(), inputs("train")
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
    return network.eval()


def write_folder(root, names=COLORS):
    for split, pictures in PICTURES.items():
        for number, (label, pixels) in enumerate(pictures):
            home = root / split / names[label]
            home.mkdir(parents=True, exist_ok=True)
            (home / f"{number}.png").write_bytes(png(pixels))


def write_parquet(root):
    root.mkdir()
    for split, pictures in PICTURES.items():
        encoded = [{"bytes": png(pixels)} for _, pixels in pictures]
        table = pa.table({"img": encoded, "label": [label for label, _ in pictures]})
        pq.write_table(table, root / f"{split}-00000-of-00001.parquet")


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


MODULE = """
from torch import nn
def plain(classes, in_channels):
    return nn.Sequential(nn.Conv2d(in_channels, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(6, classes))
def straight(classes, in_channels):
    return nn.Sequential(nn.Conv2d(in_channels, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes))
def branching(classes, in_channels):
    network = plain(classes, in_channels)
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network
        def forward(self, images):
            return self.inner(images) if images.sum() > 0 else self.inner(images)
    return Branching()
"""


RESNET = ["--weights", "colors.th", "--architecture", "cifar-resnet", "--depth", "8", "--width", "4"]
FOLDER = ["--images", "folder:images"]


def init(*arguments):
    return main(["init", "mine.yaml", *arguments])


def save_untrained(architecture, classes=3, channels=3):
    torch.manual_seed(0)
    torch.save(build(architecture, classes=classes, in_channels=channels).state_dict(), "other.pt")
