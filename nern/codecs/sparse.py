"""Magnitude pruning: the smallest weights are zero (paper, figure 5a: meta-compression of a predictor)."""

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from nern.codecs.base import Array, Arrays, Codec, Shapes, flattened, parted
from nern.codecs.range_coding import RangeDecoder, RangeEncoder
from nern.codecs.streams import Reader, read_floats, store_floats
from nern.codecs.uniform import Uniform
from nern.errors import NernError

INTEGERS, FLOATS = 0, 1
"""The first byte: what the weights are."""


class Sparse(Codec):
    """The smallest weights of all matrices together become zero; which, is range coded.

    The others are floats of 32 bits, and vectors too, or of 16, or `Uniform`'s integers of 2 to 8 bits, whose range
    coder takes a zero for one of its levels and needs no mask.
    """

    kind: Literal["sparse"]
    sparsity: Annotated[float, Field(ge=0, le=1, description="share of the weights that become zero; ties by position")]
    bits: Literal[2, 3, 4, 5, 6, 7, 8, 16, 32] = Field(32, description="of each other weight")

    @property
    def vector_bits(self) -> Literal[16, 32]:
        """Vectors are as exact as weights, but for 16 bits at least."""
        return 32 if self.bits == 32 else 16

    def encode_matrices(self, matrices: Arrays) -> bytes:
        """The bits; then `Uniform`'s bytes, or the number of values, the values and the masks."""
        pruned = prune(matrices, self.sparsity)
        if self.bits <= 8:
            return bytes([INTEGERS]) + Uniform(kind="uniform", bits=self.bits, coded=True).encode_matrices(pruned)
        encoder, flat = RangeEncoder(), flattened(pruned)
        for matrix in pruned.values():
            encoder.integers(matrix.ravel() != 0)
        kept = flat[flat != 0]
        floats = store_floats({"weights": kept}, self.vector_bits)
        return bytes([FLOATS]) + len(kept).to_bytes(8, "little") + floats + encoder.content()

    def decode_matrices(self, reader: Reader, shapes: Shapes) -> dict[str, Array]:
        """Zeros, and the others where the masks say."""
        if reader.number("u1") == INTEGERS:
            return Uniform(kind="uniform", bits=8).decode_matrices(reader, shapes)
        kept = read_floats(reader, {"weights": (reader.number("<u8"),)})["weights"]
        decoder = RangeDecoder(reader.rest())
        masks = [decoder.integers(math.prod(shape)) for shape in shapes.values()]
        decoder.end()
        mask = np.concatenate([np.zeros(0, np.int64), *masks]) != 0
        if mask.sum() != len(kept):
            raise NernError("coded data has as many weights as its masks do not say; write it again")
        flat = np.zeros(len(mask), np.float32)
        flat[mask] = kept
        return parted(flat, shapes)


def prune(matrices: Arrays, sparsity: float) -> dict[str, Array]:
    """The matrices with the share `sparsity` of their weights, the smallest of all together, set to zero."""
    flat = flattened(matrices)
    flat[np.argsort(np.abs(flat), kind="stable")[: round(sparsity * len(flat))]] = 0
    return parted(flat, {name: matrix.shape for name, matrix in matrices.items()})
