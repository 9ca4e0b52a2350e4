"""Vector quantization: a codebook of whole kernels, and a scale per filter.

Kernel k of filter f is stored as s_f · c, where c is one of K centers, shared by all layers whose kernels have this
size. Kernels of one number (1×1) and matrices [out, in] have no kernels to speak of: there a vector is a group of
consecutive numbers of a filter, and zeros fill up the last group of each. Centers and scales are float16; the index
of each vector is range coded.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from nern.codecs.base import Array, Arrays, Codec, Shapes, columns, rows
from nern.codecs.clustering import nearest_vectors, vector_centers
from nern.codecs.range_coding import Integers, RangeDecoder, RangeEncoder
from nern.codecs.scaled import quotients
from nern.codecs.streams import Halves, Reader, halves, stored
from nern.errors import NernError

Size = tuple[int, ...]
"""Of the vectors of a matrix: (k, k') of its kernels, or (group,)."""


@dataclass(frozen=True)
class VectorChoice:
    """What stands for matrices."""

    centers: Mapping[Size, Halves]
    """[K, d] for vectors of each size."""
    indices: Mapping[str, Integers]
    """Of each matrix the center of every vector of every filter: [F, n]."""
    scales: Mapping[str, Halves]
    """Of each matrix: [F]."""


class VectorCodebook(Codec):
    """Each kernel by the nearest of K centers, found by k-means over kernels of filters scaled to unit mean square."""

    kind: Literal["vector-codebook"]
    size: Annotated[int, Field(ge=1, le=4096, description="K: centers for each size of kernel")]
    group: Annotated[int, Field(ge=2, le=255, description="numbers a vector, of matrices and 1x1 kernels")] = 8

    def sizes(self, shapes: Shapes) -> dict[str, Size]:
        """The size of the vectors of each matrix."""
        group = (self.group,)
        return {name: shape[2:] if math.prod(shape[2:]) > 1 else group for name, shape in shapes.items()}

    def choose(self, matrices: Arrays) -> VectorChoice:
        """Centers, indices and scales; a filter's scale has the least squared error with the centers of its vectors."""
        units, sizes = {}, self.sizes({name: matrix.shape for name, matrix in matrices.items()})
        for name, matrix in matrices.items():
            units[name] = cut(quotients(matrix, root_mean_squares(matrix)), sizes[name])
        centers, indices, scales = {}, {}, {}
        for size in sorted(set(sizes.values())):
            alike = [name for name in sorted(matrices) if sizes[name] == size]
            vectors = np.concatenate([units[name].reshape(-1, math.prod(size)) for name in alike])
            centers[size] = halves(vector_centers(vectors, self.size), "weights")
            for name in alike:
                flat = nearest_vectors(units[name].reshape(-1, math.prod(size)), centers[size].astype(np.float32))
                indices[name] = flat.reshape(units[name].shape[:2])
                scales[name] = _best_scales(cut(matrices[name], size), centers[size][indices[name]])
        return VectorChoice(centers, indices, scales)

    def values(self, choice: VectorChoice, shapes: Shapes) -> dict[str, Array]:
        """The matrices that a choice stands for: to the bit, what decoding returns."""
        matrices = {}
        for name, size in self.sizes(shapes).items():
            vectors = choice.centers[size].astype(np.float32)[choice.indices[name]]
            matrices[name] = joined(vectors * choice.scales[name].astype(np.float32)[:, None, None], shapes[name])
        return matrices

    def pack(self, choice: VectorChoice, shapes: Shapes, vectors: Arrays) -> bytes:
        """The bytes of matrices of these shapes, so chosen, and of vectors; `decode` returns `values`."""
        ordered = {name: tuple(shapes[name]) for name in sorted(shapes)}
        return self.sealed(self._written(choice, ordered), ordered, vectors)

    def encode_matrices(self, matrices: Arrays) -> bytes:
        """The group, the scales, the centers of each size behind their number; then all indices, size by size."""
        return self._written(self.choose(matrices), {name: matrix.shape for name, matrix in matrices.items()})

    def decode_matrices(self, reader: Reader, shapes: Shapes) -> dict[str, Array]:
        """Their centers times their scales."""
        group = reader.number("u1")
        if group == 0:
            raise NernError("coded data has vectors of no numbers, which no codec writes; write it again")
        like = self.model_copy(update={"group": group})
        sizes = like.sizes(shapes)
        scales = {name: reader.table("<f2", shape[0]) for name, shape in shapes.items()}
        centers, indices = {}, {}
        for size in sorted(set(sizes.values())):
            centers[size] = reader.table("<f2", (reader.number("<u2"), math.prod(size)))
        decoder = RangeDecoder(reader.rest())
        for size in centers:
            alike = {name: (shapes[name][0], _vectors(shapes[name], size)) for name in shapes if sizes[name] == size}
            flat = decoder.integers(sum(math.prod(shape) for shape in alike.values()))
            if len(flat) and not 0 <= flat.min() <= flat.max() < len(centers[size]):
                raise NernError("coded data points at centers that it does not have; write it again")
            for name, shape in alike.items():
                indices[name], flat = flat[: math.prod(shape)].reshape(shape), flat[math.prod(shape) :]
        decoder.end()
        return like.values(VectorChoice(centers, indices, scales), shapes)

    def _written(self, choice: VectorChoice, shapes: Shapes) -> bytes:
        sizes, encoder = self.sizes(shapes), RangeEncoder()
        content = bytes([self.group]) + stored(choice.scales[name] for name in shapes)
        for size in sorted(set(sizes.values())):
            flat = np.concatenate([choice.indices[name].ravel() for name in shapes if sizes[name] == size])
            # the most frequent first: a histogram that falls is the cheapest to store
            order = np.argsort(-np.bincount(flat, minlength=len(choice.centers[size])), kind="stable")
            content += len(order).to_bytes(2, "little") + stored([choice.centers[size][order]])
            encoder.integers(np.argsort(order)[flat])
        return content + encoder.content()


def cut(matrix: Array, size: Size) -> Array:
    """The vectors [F, n, d] of a matrix [F, …], the last of each filter filled up with zeros."""
    vectors = _vectors(matrix.shape, size)
    filled = np.zeros((len(matrix), vectors * math.prod(size)), np.float32)
    filled[:, : columns(matrix.shape)] = rows(matrix)
    return filled.reshape(len(matrix), vectors, math.prod(size))


def joined(vectors: Array, shape: tuple[int, ...]) -> Array:
    """The matrix whose vectors [F, n, d] are."""
    flat = vectors.reshape(shape[0], vectors.shape[1] * vectors.shape[2])
    return np.ascontiguousarray(flat[:, : columns(shape)]).reshape(shape)


def _vectors(shape: tuple[int, ...], size: Size) -> int:
    return -(-columns(shape) // math.prod(size))


def root_mean_squares(matrix: Array) -> Halves:
    """Of each filter, [F]: what its vectors are divided by before their centers are chosen."""
    squares = np.square(rows(matrix), dtype=np.float64).sum(axis=1)
    return halves(np.sqrt(squares / max(columns(matrix.shape), 1)), "weights")


def _best_scales(vectors: Array, centers: Halves) -> Halves:
    """[F]: Σ w c / Σ c² over a filter's vectors [F, n, d]; zero where all centers are."""
    wide = centers.astype(np.float64)
    power = np.square(wide).sum(axis=(1, 2))
    return halves((vectors * wide).sum(axis=(1, 2)) / np.where(power > 0, power, 1), "weights")
