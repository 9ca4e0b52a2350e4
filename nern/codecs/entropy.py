"""Uniform quantization with a step in place of a number of bits, range coded."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from nern.codecs.base import Array
from nern.codecs.scaled import RANGE_CODED, Scaled
from nern.codecs.streams import Halves, halves


class EntropyCoded(Scaled):
    """q = round(w / Δ), where Δ is `step` times the matrix's root mean square; range coded with q's own histogram.

    One scale s a matrix: the one with the least squared error, Σ w q / Σ q², which for coarse steps is smaller than Δ.
    A Gaussian takes about log2(4.13 / step) bits a weight while the step is below 1.
    """

    kind: Literal["entropy-coded"]
    step: Annotated[float, Field(ge=0.01, le=8, description="between two levels, of a matrix's root mean square")]

    @property
    def width(self) -> int:
        """As many bits as the integers need."""
        return RANGE_CODED

    def scales(self, matrix: Array) -> Halves:
        """The scale of the least squared error, [1]; zero if all integers are."""
        integers = self._rounded(matrix).astype(np.float64)
        power = np.square(integers).sum()
        return halves(np.array([(integers * matrix).sum() / power if power else 0.0]), "weights")

    def integers(self, matrix: Array, scales: Halves) -> NDArray[np.int32]:
        """The integers of the step, whatever the scale."""
        return self._rounded(matrix)

    def _rounded(self, matrix: Array) -> NDArray[np.int32]:
        root_mean_square = np.sqrt(np.square(matrix, dtype=np.float64).sum() / max(matrix.size, 1))
        step = self.step * root_mean_square or 1.0  # any, where all is zero
        return np.rint(matrix / step).astype(np.int32)
