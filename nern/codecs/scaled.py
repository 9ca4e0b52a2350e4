"""Integers times scales: what uniform, binary and entropy-coded quantization share.

Ŵ = q · s with integers q like the matrix and float16 scales s, one a filter or one in all. They are chosen first and
written then, so that a training may learn the scales and write what it measured: `values` is, to the bit, what
decoding returns.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nern.codecs.base import Array, Arrays, Codec, Shapes, parted
from nern.codecs.range_coding import RangeDecoder, RangeEncoder
from nern.codecs.streams import Halves, Reader, pack_bits, stored, unpack_bits
from nern.errors import NernError

Integers = NDArray[np.integer[Any]]
Chosen = Mapping[str, tuple[Integers, Halves]]
"""Of each matrix its integers [F, …] and its scales, [F] or [1]."""

RANGE_CODED = 0
"""The width of integers that are not packed but range coded."""


class Scaled(Codec):
    """Base of the codecs whose matrices are integers times scales; a subclass chooses both."""

    @property
    def width(self) -> int:
        """Bits of a packed integer: 1 for −1 and 1; b for −(2^(b−1) − 1) … 2^(b−1) − 1; 0 if range coded."""
        raise NotImplementedError

    @property
    def largest(self) -> int:
        """The largest magnitude of a packed integer."""
        return 1 if self.width == 1 else largest_integer(self.width)

    def scales(self, matrix: Array) -> Halves:
        """The scales [F] of a matrix [F, …], or one for all of it: [1]."""
        raise NotImplementedError

    def integers(self, matrix: Array, scales: Halves) -> Integers:
        """The integers of a matrix under given scales, of its shape."""
        raise NotImplementedError

    @staticmethod
    def values(integers: Integers, scales: Halves) -> Array:
        """The matrix that its integers and scales stand for."""
        return integers.astype(np.float32) * aligned(scales, integers.ndim)

    def pack(self, chosen: Chosen, vectors: Arrays) -> bytes:
        """The bytes of matrices so chosen, and of vectors; `decode` returns `values`."""
        ordered = {name: chosen[name] for name in sorted(chosen)}
        shapes = {name: integers.shape for name, (integers, _) in ordered.items()}
        return self.sealed(self._written(ordered), shapes, vectors)

    def encode_matrices(self, matrices: Arrays) -> bytes:
        """The scales, then the integers, packed or range coded."""
        scales = {name: self.scales(matrix) for name, matrix in matrices.items()}
        return self._written({name: (self.integers(m, scales[name]), scales[name]) for name, m in matrices.items()})

    def decode_matrices(self, reader: Reader, shapes: Shapes) -> dict[str, Array]:
        """Their integers times their scales."""
        width, per_filter = reader.number("u1"), reader.number("u1")
        if width > 8:
            raise NernError(f"coded data has integers of {width} bits, which no codec writes; write it again")
        scales = {name: reader.table("<f2", shape[0] if per_filter else 1) for name, shape in shapes.items()}
        counts = [math.prod(shape) for shape in shapes.values()]
        flat = _decoded(reader, counts) if width == RANGE_CODED else _unpacked(reader, sum(counts), width)
        return {name: self.values(integers, scales[name]) for name, integers in parted(flat, shapes).items()}

    def _written(self, chosen: Chosen) -> bytes:
        per_filter = all(len(scales) == len(integers) for integers, scales in chosen.values())
        flat = [integers.ravel() for integers, _ in chosen.values()]
        content = _coded(flat) if self.width == RANGE_CODED else _packed(flat, self.width)
        return bytes([self.width, per_filter]) + stored(scales for _, scales in chosen.values()) + content


def aligned(scales: Halves, dimensions: int) -> Array:
    """Scales as float32 that multiply a matrix of so many dimensions by its first."""
    return scales.astype(np.float32).reshape(-1, *[1] * (dimensions - 1))


def quotients(matrix: Array, scales: Halves) -> Array:
    """A matrix divided by its scales; zero where a scale is zero."""
    divisors = aligned(scales, matrix.ndim)
    return np.divide(matrix, divisors, out=np.zeros_like(matrix), where=divisors != 0)


def largest_integer(bits: int) -> int:
    """2^(b−1) − 1, so that zero has a level of its own and signs are alike."""
    return (1 << (bits - 1)) - 1


def _level(width: int) -> tuple[int, int]:
    """The lowest integer of a width, and the distance of two."""
    return (-1, 2) if width == 1 else (-largest_integer(width), 1)


def _packed(flat: list[Integers], width: int) -> bytes:
    lowest, distance = _level(width)
    integers = np.concatenate([np.zeros(0, np.int64), *flat])
    symbols = (integers - lowest) // distance
    if not np.array_equal(symbols * distance + lowest, integers) or (symbols >> width).any():
        raise ValueError(f"integers that {width} bits do not hold")
    return pack_bits(symbols.astype(np.uint8), width)


def _unpacked(reader: Reader, count: int, width: int) -> Integers:
    lowest, distance = _level(width)
    return unpack_bits(reader, width, count) * distance + lowest


def _coded(flat: list[Integers]) -> bytes:
    encoder = RangeEncoder()
    for integers in flat:
        encoder.integers(integers)
    return encoder.content()


def _decoded(reader: Reader, counts: list[int]) -> Integers:
    decoder = RangeDecoder(reader.rest())
    flat = np.concatenate([np.zeros(0, np.int64), *map(decoder.integers, counts)])
    decoder.end()
    return flat
