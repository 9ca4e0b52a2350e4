"""k-means, the same with any number of threads: of scalars by sorting, of vectors by scikit-learn on one thread."""

import warnings

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SCALAR_ROUNDS, VECTOR_ROUNDS = 100, 50
"""Lloyd steps at most."""
DENSITY_BINS = 1024
BLOCK = 1024
"""Vectors whose distances to all centers are held at once."""


def scalar_centers(values: NDArray[np.float32], count: int) -> Floats:
    """At most `count` centers [K] of values [n], rising: all distinct values if there are no more, else by Lloyd.

    It starts at quantiles of the density to the power 1/3, where the centers of many levels lie (Panter and Dite 1951).
    """
    points = np.sort(values.astype(np.float64))
    distinct = np.unique(points)
    if len(distinct) <= count:
        return distinct
    density, edges = np.histogram(points, DENSITY_BINS)
    mass = np.concatenate([[0.0], np.cumsum(np.cbrt(density))])
    centers: Floats = np.interp((np.arange(count) + 0.5) / count * mass[-1], mass, edges)
    sums = np.concatenate([[0.0], np.cumsum(points)])
    for _ in range(SCALAR_ROUNDS):
        starts = np.searchsorted(points, (centers[1:] + centers[:-1]) / 2)
        bounds = np.concatenate([[0], starts, [len(points)]])
        sizes = np.diff(bounds)
        moved = np.where(sizes > 0, np.diff(sums[bounds]) / np.maximum(sizes, 1), centers)
        if np.array_equal(moved, centers):
            break
        centers = np.sort(moved)
    return centers


def nearest_scalars(values: NDArray[np.float32], centers: Floats) -> NDArray[np.int64]:
    """The index [n] of the nearest of rising centers [K]."""
    return np.searchsorted((centers[1:] + centers[:-1]) / 2, values.astype(np.float64)).astype(np.int64)


def vector_centers(vectors: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """At most `count` centers [K, d] of vectors [n, d]: all distinct vectors if there are no more, else by k-means."""
    distinct = np.unique(vectors, axis=0)
    if len(distinct) <= count:
        return distinct
    # here, because they take their time to load
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    means = KMeans(count, init="random", n_init=1, max_iter=VECTOR_ROUNDS, random_state=0)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        centers: NDArray[np.float32] = means.fit(vectors).cluster_centers_
    return centers


def nearest_vectors(vectors: NDArray[np.float32], centers: NDArray[np.float32]) -> NDArray[np.int64]:
    """The index [n] of the nearest of centers [K, d] of each vector [n, d]; of several, the first. No BLAS."""
    nearest = [np.zeros(0, np.int64)]
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK]
        distances = np.zeros((len(block), len(centers)), np.float32)
        for column, coordinate in zip(block.T, centers.T, strict=True):
            distances += np.square(column[:, None] - coordinate)
        nearest.append(distances.argmin(axis=1))
    return np.concatenate(nearest)
