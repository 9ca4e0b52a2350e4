"""Permutations that make the order of a layer's kernels smooth (paper, section 3.3). Weights never move.

The path is greedy: start at kernel 0 and always go to the nearest kernel that is not yet on it; of equally near ones,
the lowest index. Distances are cosine between flattened kernels, ℓ2 for 1×1 kernels.
"""

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Metric = Literal["cosine", "l2"]


def greedy_path(vectors: Tensor, metric: Metric) -> Tensor:
    """The greedy path through vectors [n, d], as indices [n] (int64)."""
    points = vectors.detach().cpu().double().numpy()
    if metric == "cosine":
        lengths = np.linalg.norm(points, axis=1, keepdims=True)
        points = np.divide(points, lengths, out=np.zeros_like(points), where=lengths > 0)
    alive = np.arange(1, len(points))
    path = [0]
    for _ in range(len(points) - 1):
        nearest = int(np.square(points[alive] - points[path[-1]]).sum(axis=1).argmin())
        path.append(int(alive[nearest]))
        alive = np.delete(alive, nearest)
    return torch.tensor(path)


def _metric(weight: Tensor, cosine_for_1x1: bool) -> Metric:
    return "l2" if weight.shape[2:] == (1, 1) and not cosine_for_1x1 else "cosine"


def cross_filter_permutation(weight: Tensor, *, cosine_for_1x1: bool = False) -> Tensor:
    """One path through all kernels of a layer: the kernel f·C + c at each position, [F·C]."""
    return greedy_path(weight.flatten(0, 1).flatten(1), _metric(weight, cosine_for_1x1))


def in_filter_permutation(weight: Tensor, *, cosine_for_1x1: bool = False) -> tuple[Tensor, Tensor]:
    """A path through the kernels of each filter, then one through the filters so reordered.

    Returns:
        The order of the filters [F], and of each filter's channels [F, C] in the numbering before filters move.
    """
    metric = _metric(weight, cosine_for_1x1)
    channels = torch.stack([greedy_path(filter_.flatten(1), metric) for filter_ in weight])
    aligned = torch.stack([filter_.flatten(1)[order] for filter_, order in zip(weight, channels, strict=True)]).double()
    if metric == "cosine":
        unit = torch.nn.functional.normalize(aligned, dim=2).flatten(1)
        return greedy_path(unit, "l2"), channels
    distances = (aligned.unsqueeze(0) - aligned.unsqueeze(1)).norm(dim=3).sum(dim=2)
    alive, path = list(range(1, len(weight))), [0]
    while alive:
        path.append(alive.pop(int(distances[path[-1]][alive].argmin())))
    return torch.tensor(path), channels


def in_filter_order(filters: Tensor, channels: Tensor) -> Tensor:
    """One flat order: position (f, c) holds kernel filters[f]·C + channels[filters[f], c]."""
    return (filters.unsqueeze(1) * channels.shape[1] + channels[filters]).flatten()


def overhead_bits(mode: str, filters: int, channels: int) -> float:
    """What storing a layer's permutation takes, in bits (section 3.3)."""
    if mode == "none":
        return 0.0
    if mode == "in-filter":
        return filters * channels * math.log2(channels) + filters * math.log2(filters)
    return filters * channels * (math.log2(filters) + math.log2(channels))
