"""Time the cross-filter permutation of one large layer, and compare every pair for reference.

    python benchmarks/permutation.py                      262,144 Gaussian kernels of 3×3, a layer of ResNet18
    python benchmarks/permutation.py --weights FILE.th    the kernels of a trained network too
    python benchmarks/permutation.py --resnet18           all of ResNet18's 3×3 layers too, in both modes

Comparing every pair takes time with the square of the number of kernels; it runs on --reference of them and is
extrapolated. Times are wall and processor time; compilation is done before and printed.
"""

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nern.method.permutation import cross_filter_permutation, greedy_path, in_filter_permutation

RESNET18 = [(64, 64)] * 4 + [(128, 64)] + [(128, 128)] * 3 + [(256, 128)] + [(256, 256)] * 3 + [(512, 256)]
RESNET18 += [(512, 512)] * 3
"""(filters, channels) of its 3×3 convolutions."""


def main() -> None:
    """Print one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=262_144, help="number of Gaussian kernels")
    parser.add_argument("--reference", type=int, default=16_384, help="number of kernels to compare pair by pair")
    parser.add_argument("--weights", type=Path, help="a checkpoint: a state dict, or a dict that has one")
    parser.add_argument("--resnet18", action="store_true", help="time all layers of the shapes of ResNet18")
    options = parser.parse_args()

    measure("compilation, or loading what is compiled", lambda: greedy_path(gaussian(2_000), "cosine"))
    compare("Gaussian", gaussian(options.n), options.reference)
    if options.weights:
        compare(options.weights.name, trained(options.weights), options.reference)
    if options.resnet18:
        layers = [gaussian(f * c).reshape(f, c, 3, 3) for f, c in RESNET18]
        measure("ResNet18, Gaussian, cross-filter", lambda: [cross_filter_permutation(layer) for layer in layers])
        measure("ResNet18, Gaussian, in-filter", lambda: [in_filter_permutation(layer) for layer in layers])


def gaussian(count: int) -> Tensor:
    """[count, 9]: no structure that a search could use, so the hard case."""
    return torch.randn(count, 9, generator=torch.Generator().manual_seed(0))


def trained(path: Path) -> Tensor:
    """[n, k²]: all kernels of the most frequent size above 1×1, of all layers together."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    weights = [w for w in state.get("state_dict", state).values() if w.ndim == 4 and w.shape[2:].numel() > 1]
    sizes = [w.shape[2:] for w in weights]
    common = max(sizes, key=sizes.count)
    return torch.cat([w.flatten(0, 1).flatten(1) for w in weights if w.shape[2:] == common])


def compare(name: str, kernels: Tensor, reference: int) -> None:
    """Measure the path, and the pairwise comparison on the first `reference` kernels."""
    few = kernels[:reference]
    taken, _ = measure(f"{name}, {len(kernels):,} kernels", lambda: greedy_path(kernels, "cosine"))
    ours, path = measure(f"{name}, {len(few):,} kernels", lambda: greedy_path(few, "cosine"))
    pairs, expected = measure(f"{name}, {len(few):,} kernels, every pair", lambda: every_pair(few))
    all_pairs = pairs * (len(kernels) / len(few)) ** 2
    print(f"    {'the same path' if torch.equal(path, expected) else 'ANOTHER PATH'}, {pairs / ours:.0f} times as fast")
    print(f"    {len(kernels):,} kernels, every pair: {all_pairs:.0f} s (extrapolated), {all_pairs / taken:.0f} times")


def every_pair(kernels: Tensor) -> Tensor:
    """The plain way, one product of a matrix and a vector per step."""
    units = torch.nn.functional.normalize(kernels.double(), dim=1)
    free = torch.zeros(len(units), dtype=torch.float64)
    path = torch.zeros(len(units), dtype=torch.int64)
    for step in range(1, len(units)):
        free[path[step - 1]] = -torch.inf
        path[step] = torch.addmv(free, units, units[path[step - 1]]).argmax()
    return path


def measure(name: str, work: Callable[[], Any]) -> tuple[float, Any]:
    """Run and print; the wall time in seconds, and the result."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    print(f"{name}: {wall:.2f} s ({processor:.2f} s processor time), peak memory so far {peak:.0f} MiB", flush=True)
    return wall, result


if __name__ == "__main__":
    main()
