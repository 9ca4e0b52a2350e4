"""What a codec is: named arrays to bytes, and those bytes to arrays. What is measured is what came back.

Both sides know the names and shapes. All else that decoding needs (scales, codebooks, models of the coder) is in the
bytes, so that whoever decodes needs of a codec's settings only its kind.

A codec's own idea concerns matrices: arrays [F, …] of F filters. These are kernels [F, C, k, k], or the weights
[out, in] of a predictor, whose rows are its filters. Vectors, such as biases, have fewer than two dimensions and are
few: every codec but `float` stores them as float16.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nern.codecs.streams import Reader, halves, read_floats, seal, store_floats, unseal
from nern.errors import NernError
from nern.settings import Settings

Array = NDArray[np.float32]
Arrays = Mapping[str, Array]
Shapes = Mapping[str, tuple[int, ...]]

FREE_ENTRIES, ENTRIES_PER_BYTE = 2**24, 256
"""Bytes may stand for so many entries, and for so many more a byte (1/32 bit each): whoever claims more is refused."""


class Codec(Settings):
    """Base of every codec: what is around the matrices. A subclass says how these are stored."""

    kind: str

    @property
    def vector_bits(self) -> Literal[16, 32]:
        """Bits of a number in a vector."""
        return 16

    def encode_matrices(self, matrices: Arrays) -> bytes:
        """The bytes of matrices [F, …], any of which may be empty; names are in order."""
        raise NotImplementedError

    def decode_matrices(self, reader: Reader, shapes: Shapes) -> dict[str, Array]:
        """The matrices of the bytes that `encode_matrices` wrote; reads just these."""
        raise NotImplementedError

    def encode(self, arrays: Arrays) -> bytes:
        """The bytes of named float32 arrays of any shapes.

        Raises:
            NernError: a number is not finite or too large for the codec, or too few bytes would stand for them.
        """
        whole = {name: np.asarray(arrays[name], np.float32, order="C") for name in sorted(arrays)}
        for name, array in whole.items():
            if not np.isfinite(array).all():
                raise NernError(f"{name}: holds infinite numbers or NaN, which no codec stores; check its training")
            if self.vector_bits == 16:
                halves(array, name)  # no scale, center or factor of such an array is beyond float16
        matrices = {name: array for name, array in whole.items() if array.ndim >= 2}
        vectors = {name: array for name, array in whole.items() if array.ndim < 2}
        return self.sealed(self.encode_matrices(matrices), _shapes(matrices), vectors)

    def sealed(self, body: bytes, shapes: Shapes, vectors: Arrays) -> bytes:
        """The bytes of vectors and of a body that stands for matrices of the given shapes."""
        every = dict(shapes) | _shapes(vectors)
        ordered = {name: vectors[name] for name in sorted(vectors)}
        data = seal(store_floats(ordered, self.vector_bits) + body, self._about(every))
        _check_claim(every, len(data))
        return data

    def decode(self, data: bytes, shapes: Shapes) -> dict[str, Array]:
        """The arrays that `encode` stored; no other settings than the kind matter.

        Raises:
            NernError: the data is damaged, of another codec, of arrays with other names or shapes, or not finite.
        """
        return self._read(data, shapes)[0]

    def table_bytes(self, data: bytes, shapes: Shapes) -> int:
        """How many of the bytes are scales and centers; NernError as `decode`."""
        return self._read(data, shapes)[1]

    def _read(self, data: bytes, shapes: Shapes) -> tuple[dict[str, Array], int]:
        ordered = {name: tuple(shapes[name]) for name in sorted(shapes)}
        _check_claim(ordered, len(data))
        reader = unseal(data, self._about(ordered))
        vectors = {name: shape for name, shape in ordered.items() if len(shape) < 2}
        decoded = read_floats(reader, vectors)
        decoded |= self.decode_matrices(reader, {name: s for name, s in ordered.items() if name not in vectors})
        reader.end()
        if not all(np.isfinite(array).all() for array in decoded.values()):
            raise NernError("the coded data holds infinite numbers or NaN, which no codec stores; code it again")
        return {name: decoded[name] for name in shapes}, reader.tables

    def _about(self, shapes: Shapes) -> str:
        return json.dumps([self.kind, sorted((name, list(shape)) for name, shape in shapes.items())])


def columns(shape: tuple[int, ...]) -> int:
    """Entries of each of the F filters of a matrix [F, …]."""
    return math.prod(shape[1:])


def rows(matrix: NDArray[Any]) -> NDArray[Any]:
    """A matrix [F, …] as [F, columns]."""
    return matrix.reshape(len(matrix), columns(matrix.shape))


def flattened(matrices: Arrays) -> Array:
    """The numbers of all matrices, one after the other."""
    return np.concatenate([np.zeros(0, np.float32), *(matrix.ravel() for matrix in matrices.values())])


def parted(flat: NDArray[Any], shapes: Shapes) -> dict[str, NDArray[Any]]:
    """Arrays of these shapes, whose numbers follow one another."""
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()], dtype=np.int64)
    return {name: part.reshape(shapes[name]) for name, part in zip(shapes, np.split(flat, ends[:-1]), strict=False)}


def _shapes(arrays: Arrays) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}


def _check_claim(shapes: Shapes, size: int) -> None:
    lengths = [length for shape in shapes.values() for length in shape]
    if (
        any(type(length) is not int or length < 0 for length in lengths)
        or max(map(len, shapes.values()), default=0) > 32
    ):
        raise NernError("a shape must be a list of 0 to 32 integers from 0 on; write the coded data again")
    # an empty array counts by its other lengths: they take scales, and turns of a loop
    entries = sum(math.prod(max(length, 1) for length in shape) for shape in shapes.values())
    if entries > FREE_ENTRIES + ENTRIES_PER_BYTE * size:
        raise NernError(f"{size:,} bytes of coded data cannot stand for {entries:,} numbers; choose a finer codec")
