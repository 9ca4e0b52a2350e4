"""Binary quantization: a bit a weight and a scale per filter (Rastegari et al. 2016, XNOR-Net)."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nern.codecs.base import Array, columns, rows
from nern.codecs.scaled import Scaled
from nern.codecs.streams import Halves, halves


class Binary(Scaled):
    """q = −1 or 1, the sign of w (of zero: 1); s is the filter's mean magnitude, which has the least squared error."""

    kind: Literal["binary"]

    @property
    def width(self) -> int:
        """A bit."""
        return 1

    def scales(self, matrix: Array) -> Halves:
        """The mean magnitude of each filter, [F]."""
        return halves(np.abs(rows(matrix)).sum(axis=1, dtype=np.float64) / max(columns(matrix.shape), 1), "weights")

    def integers(self, matrix: Array, scales: Halves) -> NDArray[np.int8]:
        """The signs, whatever the scales."""
        return np.where(matrix < 0, -1, 1).astype(np.int8)
