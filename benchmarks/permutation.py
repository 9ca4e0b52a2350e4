"""The exact greedy path of one large layer, and all of ResNet18, beside a comparison of every pair.

    python -m benchmarks.permutation [--n 262144] [--reference 16384]

The kernels are Gaussian: no structure that a search could use, so the hard case. Comparing every pair takes time with
the square of their number; it runs on --reference of them and is extrapolated. Each runs once, in a process of its own
on one thread, which compiles before it is measured.
"""

import argparse

import torch
from torch import Tensor

from benchmarks.table import HEADER, Row, end, machine, markdown
from benchmarks.timing import once
from benchmarks.variants import Work
from nern.method.permutation import cross_filter_permutation, greedy_path

RESNET18 = [(64, 64)] * 4 + [(128, 64)] + [(128, 128)] * 3 + [(256, 128)] + [(256, 256)] * 3 + [(512, 256)]
RESNET18 += [(512, 512)] * 3
"""(filters, channels) of its 3×3 convolutions."""


def gaussian(count: int) -> Tensor:
    """[count, 9], the same in every run."""
    return torch.randn(count, 9, generator=torch.Generator().manual_seed(0))


def every_pair(kernels: Tensor) -> Tensor:
    """[n], the path by the plain way: one product of a matrix and a vector per step."""
    units = torch.nn.functional.normalize(kernels.double(), dim=1)
    free = torch.zeros(len(units), dtype=torch.float64)
    path = torch.zeros(len(units), dtype=torch.int64)
    for step in range(1, len(units)):
        free[path[step - 1]] = -torch.inf
        path[step] = torch.addmv(free, units, units[path[step - 1]]).argmax()
    return path


def path(count: int) -> Work:
    """The path through so many kernels, by this project."""
    greedy_path(gaussian(2_000), "cosine")  # compiles
    kernels = gaussian(count)
    return lambda _: greedy_path(kernels, "cosine")


def pairs(count: int) -> Work:
    """The path through so many kernels, by all pairs."""
    torch.set_num_threads(1)
    kernels = gaussian(count)
    return lambda _: every_pair(kernels)


def resnet18() -> Work:
    """The cross-filter permutation of all layers of the shapes of ResNet18."""
    greedy_path(gaussian(2_000), "cosine")
    layers = [gaussian(filters * channels).reshape(filters, channels, 3, 3) for filters, channels in RESNET18]
    return lambda _: [cross_filter_permutation(layer) for layer in layers]


def rows(count: int = 262_144, reference: int = 16_384) -> list[Row]:
    """The large layer beside every pair, and ResNet18."""
    seconds, peak = once("path", path, count)
    plain, plain_peak = once("every pair", pairs, reference)
    extrapolated = plain * (count / reference) ** 2
    whole, whole_peak = once("resnet18", resnet18)
    what = f"greedy path, {count:,} kernels of 9, beside every pair (extrapolated from {reference:,})"
    return [
        Row(what, "s", seconds, extrapolated, peak=(peak, plain_peak)),
        Row("cross-filter permutation of ResNet18's 3×3 layers", "s", whole, peak=(whole_peak,)),
    ]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=262_144, help="number of Gaussian kernels")
    parser.add_argument("--reference", type=int, default=16_384, help="number of kernels to compare pair by pair")
    options = parser.parse_args()
    print(f"{machine()}\n")
    print(markdown(HEADER, [row.cells() for row in rows(options.n, options.reference)]))


if __name__ == "__main__":
    end(main)
