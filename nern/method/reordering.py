"""Beyond the paper: kernels change places in their layer where the predictions of these places fit them better.

The order of a layer's n kernels is stored in log2(n!) bits, whichever it is (paper, section 3.3). So it need not be the
path that was found before the fit. With predictions Ŵ, the order π of least Σ‖Ŵᵢ − W_π(i)‖² is the solution of a linear
assignment problem. Solved again and again while the predictor learns, it lowers L_recon as the gradient does: neither
step ever raises it.

A whole layer of 4,096 kernels takes seconds to assign. But who changes places are kernels that are alike. So random
hyperplanes cut the layer into cells of neighbors, and each cell is assigned for itself, exactly.

An in-filter order takes less than half the bits: filters change places as wholes, and kernels only within their filter.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

CELL = 64
"""Most kernels in a cell. Its time grows with the third power of its size; smaller ones find fewer exchanges."""

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


def better_places(kernels: Tensor, predicted: Tensor, rounds: int, generator: torch.Generator) -> Tensor:
    """Which kernel should stand at each place of a layer, so that the predictions of the places fit better.

    Args:
        kernels: [n, k²] rows of the original's kernels in their present order, zero where a row holds no weight.
        predicted: [n, k²] what the predictor says of these places.
        rounds: how often the layer is cut into cells anew.
        generator: of the hyperplanes, on the CPU.

    Returns:
        [n] indices into `kernels`, a permutation, on the CPU: Σ‖predicted − kernels[indices]‖² is at most what it was.
    """
    ours, theirs = kernels.double().cpu().numpy(), predicted.double().cpu().numpy()
    places: Places = np.arange(len(ours))
    for _ in range(rounds):
        for cell in _cells(ours[places], np.arange(len(ours)), generator):
            # Σ‖Ŵ‖² + Σ‖W‖² is the same in every order: the least distance is the largest product
            _, best = linear_sum_assignment(theirs[cell] @ ours[places[cell]].T, maximize=True)
            places[cell] = places[cell][best]
    return torch.from_numpy(places)


def better_places_in_filters(
    kernels: Tensor, predicted: Tensor, filters: int, rounds: int, generator: torch.Generator
) -> Tensor:
    """As `better_places`, by orders that keep the kernels of each filter together.

    Args:
        kernels: [n, k²], a filter's n / filters kernels one after the other.
        predicted: [n, k²].
        filters: how many; each round assigns them whole, their kernels aligned as they stand, then each one's kernels.
        rounds: how often.
        generator: of the hyperplanes, on the CPU, where a filter has more kernels than a cell.

    Returns:
        [n] indices into `kernels`, on the CPU.
    """
    ours, theirs = (rows.double().cpu().unflatten(0, (filters, -1)) for rows in (kernels, predicted))
    places = torch.arange(len(kernels)).view(filters, -1)
    for _ in range(rounds):
        products = theirs.flatten(1) @ ours.flatten(0, 1)[places].flatten(1).T
        places = places[linear_sum_assignment(products.numpy(), maximize=True)[1]]
        for place, filter_ in enumerate(places):
            better = better_places(ours.flatten(0, 1)[filter_], theirs[place], 1, generator)
            places[place] = filter_[better]
    return places.flatten()


def _cells(points: Floats, indices: Places, generator: torch.Generator) -> list[Places]:
    """Cut the points [n, d] at `indices` in two by a random hyperplane, near the middle, until the parts are cells."""
    if len(indices) <= CELL:
        return [indices]
    normal = torch.randn(points.shape[1], generator=generator, dtype=torch.float64).numpy()
    ordered = indices[np.argsort((points[indices] * normal).sum(axis=1), kind="stable")]
    share = 3 / 8 + torch.rand((), generator=generator).item() / 4  # where else the same two would part in each round
    middle = int(share * len(ordered))
    return [*_cells(points, ordered[:middle], generator), *_cells(points, ordered[middle:], generator)]
