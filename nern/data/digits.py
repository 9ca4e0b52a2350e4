"""scikit-learn's handwritten digits: 1,797 gray images of 8x8 that come with the package.

They stand in for CIFAR where no download is possible; they are in no table of the paper.
"""

import math

import torch

from nern.data.splits import Splits
from nern.seeding import derive


def read_digits(test_fraction: float) -> Splits:
    """The digits with 0..16 scaled to 0..255, split class by class.

    The split depends on `test_fraction` alone: within a class, images are ordered by a hash of their index (seed 0),
    and the first `test_fraction` of them are the test images. Every class keeps an image on both sides.
    """
    from sklearn.datasets import load_digits

    found = load_digits()
    levels = torch.from_numpy(found.images).to(torch.float64)
    images = (levels * (255 / 16) + 0.5).floor().to(torch.uint8).unsqueeze(1)
    labels = torch.from_numpy(found.target).to(torch.int64)
    test = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(int(labels.max()) + 1):
        members = (labels == label).nonzero().squeeze(1).tolist()
        members.sort(key=lambda index: derive(0, "digits-split", index))
        count = min(max(math.floor(test_fraction * len(members) + 0.5), 1), len(members) - 1)
        test[members[:count]] = True
    return {"train": (images[~test], labels[~test]), "test": (images[test], labels[test])}
