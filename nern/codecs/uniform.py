"""Uniform quantization: b bits a weight and a scale per filter."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from nern.codecs.base import Array, rows
from nern.codecs.scaled import RANGE_CODED, Scaled, largest_integer, quotients
from nern.codecs.streams import Halves, halves

SHARES = np.linspace(0.3, 1, 71)
"""Of a filter's largest magnitude: where its scale puts the largest integer."""


class Uniform(Scaled):
    """q = round(w / s), clipped to ±(2^(b−1) − 1); of 71 scales s a filter, that with the least squared error.

    With b = 2 these are the three levels −s, 0 and s.
    """

    kind: Literal["uniform"]
    bits: Annotated[int, Field(ge=2, le=8, description="b: of each integer, sign included")]
    coded: bool = Field(False, description="range coded integers, which take fewer bytes than packed ones")

    @property
    def width(self) -> int:
        """b, or 0 if the integers are range coded."""
        return RANGE_CODED if self.coded else self.bits

    @property
    def largest(self) -> int:
        """2^(b−1) − 1."""
        return largest_integer(self.bits)

    def scales(self, matrix: Array) -> Halves:
        """The best of the scales [F] that put 0.3 … 1 of a filter's largest magnitude at the largest integer."""
        largest = np.abs(rows(matrix)).max(axis=1, initial=0.0)
        best, least = halves(largest / largest_integer(self.bits), "weights"), np.full(len(matrix), np.inf)
        for share in SHARES:
            candidate = (share * largest / largest_integer(self.bits)).astype(np.float16)
            error = self.squared_error(matrix, candidate)
            best, least = np.where(error < least, candidate, best), np.minimum(error, least)
        return best

    def squared_error(self, matrix: Array, scales: Halves) -> NDArray[np.float64]:
        """Of each filter, [F]: the sum of (w − q s)² over its weights."""
        difference = rows(matrix - self.values(self.integers(matrix, scales), scales))
        return np.asarray(np.square(difference).sum(axis=1, dtype=np.float64))

    def integers(self, matrix: Array, scales: Halves) -> NDArray[np.int8]:
        """The integers nearest to w / s, within ±(2^(b−1) − 1)."""
        return np.clip(np.rint(quotients(matrix, scales)), -self.largest, self.largest).astype(np.int8)
