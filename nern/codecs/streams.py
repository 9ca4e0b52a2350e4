"""Bytes that are read back in the order in which they were written, with a checksum of what they are about.

Numbers are little-endian. What a reader is asked for is bounded by the bytes that it has, before memory is taken.
"""

import math
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nern.errors import NernError

Halves = NDArray[np.float16]
CHECKSUM = 4


def seal(body: bytes, about: str) -> bytes:
    """The body, and the CRC-32 of it and of what it is about."""
    return body + zlib.crc32(body, zlib.crc32(about.encode())).to_bytes(CHECKSUM, "little")


def unseal(data: bytes, about: str) -> "Reader":
    """A reader of the body that `seal` was given.

    Raises:
        NernError: the checksum says that the bytes are others, or about something else.
    """
    reader = Reader(data[:-CHECKSUM])
    if seal(data[:-CHECKSUM], about) != data:
        raise NernError("coded data is damaged, or of another codec or network; write it again")
    return reader


class Reader:
    """Reads a body from its beginning to its end.

    Attributes:
        tables: bytes so far that a codec needs besides its numbers: scales and centers.
    """

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0
        self.tables = 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes; NernError if there are fewer."""
        if count > len(self._body) - self._at:
            raise NernError("coded data ends early; write it again")
        self._at += count
        return self._body[self._at - count : self._at]

    def array(self, dtype: str, shape: int | tuple[int, ...]) -> NDArray[Any]:
        """The next numbers, as a new array."""
        kind, whole = np.dtype(dtype), (shape,) if isinstance(shape, int) else shape
        values = np.frombuffer(self.take(math.prod(whole) * kind.itemsize), kind)
        return values.reshape(whole).astype(kind.newbyteorder("="))

    def table(self, dtype: str, shape: int | tuple[int, ...]) -> NDArray[Any]:
        """The next numbers, which are a table of the codec."""
        before = self._at
        values = self.array(dtype, shape)
        self.tables += self._at - before
        return values

    def number(self, dtype: str) -> int:
        """The next integer."""
        return int(self.array(dtype, 1)[0])

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._body) - self._at)

    def end(self) -> None:
        """Refuse bytes that nobody has read, with a NernError."""
        if self.rest():
            raise NernError("coded data is longer than what it stands for; write it again")


def halves(values: NDArray[Any], what: str) -> Halves:
    """The nearest float16 numbers.

    Raises:
        NernError: one of them is beyond float16's range.
    """
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float16)
    if not np.isfinite(rounded).all():
        most = np.abs(values).max()
        raise NernError(f"{what}: {most:.3g} is more than float16 holds (65,504); use the codec float with 32 bits")
    return rounded


def stored(arrays: Iterable[NDArray[Any]]) -> bytes:
    """The bytes of arrays, one after the other, little-endian."""
    return b"".join(array.astype(array.dtype.newbyteorder("<")).tobytes() for array in arrays)


def store_floats(arrays: Mapping[str, NDArray[np.float32]], bits: int) -> bytes:
    """Arrays as floats of 32 or 16 bits, behind a byte that says which; NernError as `halves`."""
    return bytes([bits]) + stored(array if bits == 32 else halves(array, name) for name, array in arrays.items())


def read_floats(reader: Reader, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
    """The arrays that `store_floats` was given, as float32."""
    bits = reader.number("u1")
    if bits not in (16, 32):
        raise NernError(f"coded data has floats of {bits} bits, which no codec writes; write it again")
    return {name: reader.array(f"<f{bits // 8}", shape).astype(np.float32) for name, shape in shapes.items()}


def pack_bits(values: NDArray[np.uint8], bits: int) -> bytes:
    """Integers from 0 to 2^bits − 1 in `bits` bits each, the lowest first; the last byte is filled up with zeros."""
    flags = (values.reshape(-1, 1) >> np.arange(bits, dtype=np.uint8)) & 1
    return np.packbits(flags, bitorder="little").tobytes()


def unpack_bits(reader: Reader, bits: int, count: int) -> NDArray[np.int64]:
    """The next `count` integers of `bits` bits each."""
    packed = np.frombuffer(reader.take(math.ceil(count * bits / 8)), np.uint8)
    flags = np.unpackbits(packed, count=count * bits, bitorder="little").reshape(count, bits)
    values = np.zeros(count, np.int64)
    for bit, column in enumerate(flags.T):
        values += column.astype(np.int64) << bit
    return values
