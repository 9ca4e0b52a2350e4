"""Embeddings of kernel coordinates: what the predictor's first linear layer sees of (l, f, c).

The paper's (section 3.1) is γ(v) = (sin b⁰πv, cos b⁰πv, …, sin b^{N−1}πv, cos b^{N−1}πv), concatenated over the layer
l, the filter f and the input channel c. The indices themselves enter, not scaled to [0, 1): normalized ones fit far
worse (METHOD). Beyond the paper, each index has a place of its own (`OneHot`).
"""

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from nern.errors import NernError

AXES = ("layers", "filters", "channels")


class CoordinateEmbedding(ABC):
    """A map of coordinates that is a concatenation of three parts, each of one index alone."""

    widths: tuple[int, int, int]
    """Numbers in the part of l, f and c."""
    squared_norm: float
    """|γ|², the same at every coordinate."""

    @abstractmethod
    def part(self, axis: int, indices: Tensor) -> Tensor:
        """The part [n, widths[axis]] of the indices [n] of one axis, in the default float type."""

    def __call__(self, coordinates: Tensor) -> Tensor:
        """The embedding [n, sum of widths] of the coordinates [n, 3]."""
        return torch.cat([self.part(axis, column) for axis, column in enumerate(coordinates.T)], dim=1)


class Sinusoids(CoordinateEmbedding):
    """The paper's positional embedding."""

    def __init__(self, *, base: float, levels: int) -> None:
        """Take b and N of `positional_embedding`."""
        self.base, self.levels = base, levels
        self.widths = (2 * levels, 2 * levels, 2 * levels)
        self.squared_norm = 3.0 * levels  # sin² + cos² = 1

    def part(self, axis: int, indices: Tensor) -> Tensor:
        """γ of one index."""
        return positional_embedding(indices.unsqueeze(1), base=self.base, levels=self.levels)


class OneHot(CoordinateEmbedding):
    """A number where the index is, else zeros: behind it a linear layer is a table of learned vectors.

    The first layer's output is e_l + e_f + e_c + bias, and e_i is the number times a column of its weight. The number
    is √40, not 1, which makes the embedding as long as the paper's sinusoids (|γ|² = 3N = 120): the same initial
    weights give outputs of the same variance, and one learning rate suits both (docs/fidelity.md).
    """

    squared_norm = 120.0

    def __init__(self, counts: tuple[int, int, int]) -> None:
        """Numbers of layers, filters and channels, as `index_counts` gives them."""
        self.widths = counts

    def part(self, axis: int, indices: Tensor) -> Tensor:
        """A multiple of a row of the identity for each index.

        Raises:
            NernError: an index is none of those that the table was made for.
        """
        rows, count = indices.long(), self.widths[axis]
        if not bool(((rows == indices) & (rows >= 0) & (rows < count)).all()):
            raise NernError(
                f"a learned embedding for {count} {AXES[axis]} has none for other indices than 0 to {count - 1}; "
                "use it with the network that it was fitted to"
            )
        return F.one_hot(rows, count) * math.sqrt(self.squared_norm / len(self.widths))


def positional_embedding(coordinates: Tensor, *, base: float, levels: int) -> Tensor:
    """Embed coordinates.

    Args:
        coordinates: [n, 3], the columns l, f, c; or [n, 1], one of them.
        base: b > 0. The paper leaves it open; the authors' code has 0.76.
        levels: N ≥ 1.

    Returns:
        [n, 6·levels] in the default float type: for l, then f, then c, sines and cosines interleaved; or [n, 2·levels].
    """
    # float64 until the end: with b near 1 the arguments reach hundreds of radians, where float32 loses four digits
    frequencies = math.pi * base ** torch.arange(levels, dtype=torch.float64, device=coordinates.device)
    angles = coordinates.to(torch.float64).unsqueeze(-1) * frequencies
    waves = torch.stack((angles.sin(), angles.cos()), dim=-1)
    return waves.flatten(start_dim=1).to(torch.get_default_dtype())


def kernel_coordinates(shapes: list[tuple[int, int]], *, normalized: bool = False) -> Tensor:
    """The coordinate (l, f, c) of every kernel of the learnable layers, in layer, filter, channel order.

    Args:
        shapes: filters F_l and input channels C_l of each layer.
        normalized: divide by the number of layers, F_l and C_l; a variant that is off by default.

    Returns:
        [sum of F_l·C_l, 3] in float64.
    """
    blocks = []
    for layer, (filters, channels) in enumerate(shapes):
        f, c = torch.meshgrid(torch.arange(filters), torch.arange(channels), indexing="ij")
        block = torch.stack((torch.full_like(f, layer), f, c), dim=-1).reshape(-1, 3).to(torch.float64)
        if normalized:
            block = block / torch.tensor([len(shapes), filters, channels], dtype=torch.float64)
        blocks.append(block)
    return torch.cat(blocks)


def index_counts(shapes: list[tuple[int, int]]) -> tuple[int, int, int]:
    """How many distinct l, f and c there are, of layers with filters F_l and input channels C_l."""
    filters, channels = zip(*shapes, strict=True)
    return len(shapes), max(filters), max(channels)
