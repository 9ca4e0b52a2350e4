"""Floating-point numbers as they are."""

from typing import Literal

from pydantic import Field

from nern.codecs.base import Array, Arrays, Codec, Shapes
from nern.codecs.streams import Reader, read_floats, store_floats


class Float(Codec):
    """Every number, of vectors too, as a float of 32 bits (exact) or of 16 (rounded to the nearest)."""

    kind: Literal["float"]
    bits: Literal[16, 32] = Field(description="of each number; 32: nothing is lost")

    @property
    def vector_bits(self) -> Literal[16, 32]:
        """Vectors are stored as all else."""
        return self.bits

    def encode_matrices(self, matrices: Arrays) -> bytes:
        """Their numbers, one after the other."""
        return store_floats(matrices, self.bits)

    def decode_matrices(self, reader: Reader, shapes: Shapes) -> dict[str, Array]:
        """The same numbers."""
        return read_floats(reader, shapes)
