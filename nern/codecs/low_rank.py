"""Low rank: each matrix as the product of two thin ones, under a budget of bytes for all (Denton et al. 2014)."""

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from nern.codecs.base import Array, Arrays, Codec, Shapes, columns, rows
from nern.codecs.streams import CHECKSUM, Reader, halves, stored
from nern.errors import NernError

FACTOR, RANK = 2, 4
"""Bytes of a number in a factor (float16), and of a rank."""
OVERHEAD = CHECKSUM + 1
"""Bytes that a file has beside those of its matrices and vectors."""


class LowRank(Codec):
    """The singular values that keep the most energy Σ σ² per byte, of [F, C·k·k]: Ŵ = (U √S) (√S Vᵀ) in float16.

    Every matrix but those of zeros keeps one of its singular values at least.
    """

    kind: Literal["low-rank"]
    ratio: Annotated[float, Field(gt=0, le=100, description="bytes at most, of what the matrices take in float32")]

    def encode_matrices(self, matrices: Arrays) -> bytes:
        """The ranks; then of each matrix [F, columns] its factors [F, r] and [r, columns]."""
        from threadpoolctl import threadpool_limits  # here, because it looks at all libraries that are loaded

        with threadpool_limits(1):  # whose number could change a last digit
            parts = {
                name: np.linalg.svd(rows(matrix).astype(np.float64), full_matrices=False)
                for name, matrix in matrices.items()
                if matrix.size
            }
        budget = self.ratio * sum(matrix.nbytes for matrix in matrices.values())
        prices = {name: FACTOR * (len(matrix) + columns(matrix.shape)) for name, matrix in matrices.items()}
        values = {name: singular for name, (_, singular, _) in parts.items()}
        ranks = best_ranks(values, prices, budget - OVERHEAD - RANK * len(matrices))
        content = stored([np.array([ranks.get(name, 0) for name in matrices], np.uint32)])
        for name, (left, singular, right) in parts.items():
            rank, roots = ranks[name], np.sqrt(singular)
            content += stored([halves((left * roots)[:, :rank], name), halves((roots[:, None] * right)[:rank], name)])
        return content

    def decode_matrices(self, reader: Reader, shapes: Shapes) -> dict[str, Array]:
        """The products, summed in the order of the singular values: the same on every machine."""
        ranks = reader.array("<u4", len(shapes)).tolist()
        matrices = {}
        for (name, shape), rank in zip(shapes.items(), ranks, strict=True):
            if rank > min(shape[0], columns(shape)):
                raise NernError(f"coded data has a matrix {shape} of rank {rank:,}, which none has; write it again")
            left = reader.array("<f2", (shape[0], rank)).astype(np.float32)
            right = reader.array("<f2", (rank, columns(shape))).astype(np.float32)
            matrix = np.zeros((shape[0], columns(shape)), np.float32)
            for column, row in zip(left.T, right, strict=True):
                matrix += column[:, None] * row
            matrices[name] = matrix.reshape(shape)
        return matrices


def best_ranks(values: Mapping[str, NDArray[np.float64]], prices: Mapping[str, int], budget: float) -> dict[str, int]:
    """How many of each matrix's falling singular values are kept: those with the most energy σ² per byte.

    Args:
        values: the singular values of each matrix.
        prices: bytes that one of a matrix's singular values costs.
        budget: bytes at most.

    Raises:
        NernError: the budget does not hold one singular value of each matrix.
    """
    ranks = {name: int(bool(singular.any())) for name, singular in values.items()}
    left = budget - sum(rank * prices[name] for name, rank in ranks.items())
    if left < 0 and any(ranks.values()):
        raise NernError(f"a low rank of 1 takes {-left:,.0f} bytes more than the budget; choose a larger ratio")
    more = [
        (name, value * value / prices[name]) for name, singular in values.items() for value in singular[1:] if value
    ]
    for name, _ in sorted(more, key=lambda candidate: -candidate[1]):
        if prices[name] <= left:
            ranks[name] += 1
            left -= prices[name]
    return ranks
