"""Scalar quantization by a codebook: k-means of each matrix's weights (Han et al. 2016, Deep Compression)."""

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from nern.codecs.base import Array, Arrays, Codec, Shapes
from nern.codecs.clustering import nearest_scalars, scalar_centers
from nern.codecs.range_coding import RangeDecoder, RangeEncoder
from nern.codecs.streams import Reader, halves, stored
from nern.errors import NernError


class Codebook(Codec):
    """Each weight by the nearest of 2^b centers of its matrix (float16); indices range coded."""

    kind: Literal["codebook"]
    bits: Annotated[int, Field(ge=1, le=8, description="b: a matrix has 2^b centers, or fewer if it has fewer values")]

    def encode_matrices(self, matrices: Arrays) -> bytes:
        """Of each matrix the number of centers and the centers; then all indices."""
        content, encoder = b"", RangeEncoder()
        for matrix in matrices.values():
            centers = np.unique(halves(scalar_centers(matrix.ravel(), 2**self.bits), "weights"))
            content += len(centers).to_bytes(2, "little") + stored([centers])
            encoder.integers(nearest_scalars(matrix.ravel(), centers.astype(np.float64)))
        return content + encoder.content()

    def decode_matrices(self, reader: Reader, shapes: Shapes) -> dict[str, Array]:
        """The centers at their indices."""
        centers = {name: reader.table("<f2", reader.number("<u2")) for name in shapes}
        decoder, matrices = RangeDecoder(reader.rest()), {}
        for name, shape in shapes.items():
            indices = decoder.integers(math.prod(shape))
            if len(indices) and not 0 <= indices.min() <= indices.max() < len(centers[name]):
                raise NernError("coded data points at centers that it does not have; write it again")
            matrices[name] = centers[name].astype(np.float32)[indices].reshape(shape)
        decoder.end()
        return matrices
