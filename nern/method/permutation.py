"""The order in which coordinates are assigned to kernels (paper, section 3.3): greedy paths of near neighbors.

Weights never move. A path starts at kernel 0 and always goes to the nearest kernel not yet visited; among equally
near ones to that with the lowest index. It is exact: the result of comparing every pair, in far less time.

Distances are computed in float64 and summed in the order of the dimensions, so that equal vectors tie on every machine:
- l2: the squared Euclidean distance.
- cosine: the squared Euclidean distance of the vectors scaled to unit length, which is twice the cosine distance but
  keeps its digits where vectors are nearly parallel. The cosine with a zero vector is 0, as in torch: squared
  distance 2. Vectors that differ by a factor 2^k tie exactly, and so do numbers (d = 1) of one sign; other parallel
  vectors tie but for rounding, 1e-16 in each entry, and which of them comes first is then not promised.

Before that, all vectors together (l2) or each one (cosine) are scaled by a power of two, which is exact, to a largest
entry in [0.5, 1). An entry below 2^-400 after scaling counts as zero; in float32 there is none.
"""

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nern.errors import NernError

Metric = Literal["cosine", "l2"]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

PAIRWISE_LIMIT = 2**22
"""Up to so many pairs all are compared in numpy, which takes less time than to load numba: about 0.2 s."""
NEGLIGIBLE = 2.0**-400  # the difference of two larger float64 numbers has a square that is not zero
RIGHT_ANGLE = 2.0  # squared distance of unit vectors whose cosine is 0


def greedy_path(vectors: Tensor, metric: Metric) -> Tensor:
    """Start at vector 0 and always go to the nearest one not yet visited, the lowest index of several.

    Args:
        vectors: [n, d], finite.
        metric: "cosine" or "l2", as defined above.

    Returns:
        [n] int64 on the CPU: the index of the vector at each position of the path.

    Raises:
        NernError: a number is infinite or no number.
    """
    points = _prepared(vectors, metric)
    return torch.from_numpy(_path(points, _apart(points, metric), compiled=len(points) ** 2 > PAIRWISE_LIMIT))


def cross_filter_permutation(weight: Tensor, *, cosine_for_1x1: bool = False) -> Tensor:
    """One path through all kernels of a layer.

    Args:
        weight: [F, C, k, k'].
        cosine_for_1x1: compare 1×1 kernels by cosine as the authors' code does here, not by ℓ2 as the text says.

    Returns:
        [F·C] int64: the kernel f·C + c at each position.
    """
    return greedy_path(weight.flatten(0, 1).flatten(1), _metric(weight, cosine_for_1x1))


def in_filter_permutation(weight: Tensor, *, cosine_for_1x1: bool = False) -> tuple[Tensor, Tensor]:
    """A path through the kernels of each filter, then a path through the filters so reordered.

    The distance of two filters is the sum of the distances of their aligned kernels.

    Args:
        weight: [F, C, k, k'].
        cosine_for_1x1: compare 1×1 kernels by cosine.

    Returns:
        filters [F] int64: the filter at each position; channels [F, C] int64: the channel at each position of each
        filter, filters numbered as before they move.
    """
    metric = _metric(weight, cosine_for_1x1)
    filters, channels = weight.shape[:2]
    points = _prepared(weight.flatten(0, 1).flatten(1), metric)
    apart = _apart(points, metric)
    points, apart = points.reshape(filters, channels, -1), apart.reshape(filters, channels)
    compiled = filters * channels * (filters + channels) > PAIRWISE_LIMIT
    inner = np.stack([_path(points[f], apart[f], compiled) for f in range(filters)])
    points = np.take_along_axis(points, inner[:, :, None], axis=1)
    apart = np.take_along_axis(apart, inner, axis=1)
    outer = _walk(_filter_distances(points, apart, metric, compiled))
    return torch.from_numpy(outer), torch.from_numpy(inner)


def in_filter_order(filters: Tensor, channels: Tensor) -> Tensor:
    """Both parts of an in-filter permutation as one order, of the form of `cross_filter_permutation`.

    Args:
        filters: [F].
        channels: [F, C].

    Returns:
        [F·C] int64: the kernel at each position; at (f, c), channel channels[filters[f], c] of filter filters[f].
    """
    return (filters[:, None] * channels.shape[1] + channels[filters]).flatten()


def overhead_bits(mode: str, filters: int, channels: int) -> float:
    """The size of a layer's permutation in bits (paper, section 3.3); mode "none", "in-filter" or "cross-filter"."""
    kernels = filters * channels
    if mode == "cross-filter":
        return kernels * (math.log2(filters) + math.log2(channels))
    if mode == "in-filter":
        return kernels * math.log2(channels) + filters * math.log2(filters)
    if mode == "none":
        return 0.0
    raise ValueError(f"no such smoothing mode: {mode}")


def _metric(weight: Tensor, cosine_for_1x1: bool) -> Metric:
    return "l2" if math.prod(weight.shape[2:]) == 1 and not cosine_for_1x1 else "cosine"


def _prepared(vectors: Tensor, metric: Metric) -> Floats:
    """[n, d] float64 whose squared Euclidean distances are those of the metric, but for zero vectors under cosine."""
    if metric not in ("cosine", "l2"):
        raise ValueError(f"no such metric: {metric}")
    points: Floats = vectors.detach().to("cpu", torch.float64).numpy()
    if not np.isfinite(points).all():
        raise NernError("weights to be ordered hold infinite numbers or NaN; check the original's training")
    largest = np.abs(points).max(axis=1 if metric == "cosine" else None, keepdims=True, initial=0.0)
    points = np.ldexp(points, -np.frexp(largest)[1])
    if metric == "cosine":
        length = np.sqrt(_sum_of_squares(points))[:, None]
        points = points / np.where(length > 0, length, 1.0)
    return np.where(np.abs(points) < NEGLIGIBLE, 0.0, points)


def _apart(points: Floats, metric: Metric) -> Flags:
    """[n]: vectors at a right angle to every other one."""
    return np.asarray(~points.any(axis=1) & (metric == "cosine"))


def _sum_of_squares(points: Floats) -> Floats:
    total = np.zeros(len(points))
    for column in points.T:  # no np.sum: the order of its additions is its own
        total += column * column
    return total


def _path(points: Floats, apart: Flags, compiled: bool) -> Integers:
    """The greedy path through points [n, d], by one of two ways that lead to the same."""
    if not compiled or len(points) == 0:
        return _walk(_distances(points, apart))
    from nern.method.greedy import walk  # here, because numba takes its time to load

    # Equal points are visited one right after the other, by index, because nothing else is at distance 0. So the walk
    # need only visit one of each, the first: a tie of two such groups goes to the lowest index in either.
    order = np.lexsort(points.T)
    differs = (points[order[1:]] != points[order[:-1]]).any(axis=1) | apart[order[1:]]
    starts = np.flatnonzero(np.concatenate([[True], differs]))
    sizes = np.diff(starts, append=len(order))
    by_index = order[starts].argsort()
    starts, sizes = starts[by_index], sizes[by_index]
    visits = walk(points[order[starts]], apart[order[starts]], RIGHT_ANGLE)
    starts, sizes = starts[visits], sizes[visits]
    within = np.arange(len(order)) - np.repeat(sizes.cumsum() - sizes, sizes)
    path: Integers = order[np.repeat(starts, sizes) + within]
    return path


def _distances(points: Floats, apart: Flags) -> Floats:
    """[n, n] squared distances of all pairs, for points [n, d]."""
    total, difference = np.zeros((len(points), len(points))), np.empty((len(points), len(points)))
    for column in points.T:
        np.subtract.outer(column, column, out=difference)
        difference *= difference
        total += difference
    total[apart], total[:, apart] = RIGHT_ANGLE, RIGHT_ANGLE
    return total


def _filter_distances(points: Floats, apart: Flags, metric: Metric, compiled: bool) -> Floats:
    """[F, F]: the sum of the distances of aligned kernels, for points [F, C, d]; under cosine twice that sum."""
    if compiled:
        from nern.method.greedy import summed_distances

        return summed_distances(points.transpose(1, 2, 0).copy(), apart.T.copy(), RIGHT_ANGLE, metric == "l2")
    total = np.zeros((len(points), len(points)))
    for c in range(points.shape[1]):
        squares = _distances(points[:, c], apart[:, c])
        total += np.sqrt(squares) if metric == "l2" else squares
    return total


def _walk(distances: Floats) -> Integers:
    """The greedy path over a matrix [n, n] of distances, which it overwrites."""
    path = np.zeros(len(distances), np.int64)
    for step in range(1, len(path)):
        distances[:, path[step - 1]] = np.inf
        path[step] = distances[path[step - 1]].argmin()
    return path
