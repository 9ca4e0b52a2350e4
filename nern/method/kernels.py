"""The learnable weights of a network as one matrix: a row per kernel, in the order of the coordinates.

Weights never move (paper, section 3.3): a permutation only says which kernel a coordinate stands for. Kernels
smaller than the predictor's k×k take the center of its output (section 3.1).
"""

import torch
from torch import Tensor

from nern.errors import NernError


class KernelLayout:
    """Converts between per-layer weights and the matrix of rows [n, k²]."""

    def __init__(self, shapes: list[tuple[int, int, int, int]], orders: list[Tensor]) -> None:
        """Set up a layout.

        Args:
            shapes: (filters, channels, height, width) of each layer's weight.
            orders: [filters·channels] of each layer: the kernel (f·channels + c) at each position.

        Raises:
            NernError: an order is no permutation of its layer's kernels.
        """
        self.shapes = shapes
        self.kernel_size = max(max(height, width) for _, _, height, width in shapes)
        for layer, ((filters, channels, _, _), order) in enumerate(zip(shapes, orders, strict=True)):
            if not torch.equal(order.cpu().sort().values, torch.arange(filters * channels)):
                raise NernError(f"the order of layer {layer} is no permutation of its {filters * channels} kernels")
        self.orders = orders
        self.inverses = [order.argsort() for order in orders]
        self.counts = [filters * channels for filters, channels, _, _ in shapes]

    def to(self, device: torch.device) -> "KernelLayout":
        """The same layout with its permutations on `device`."""
        return KernelLayout(self.shapes, [order.to(device) for order in self.orders])

    def rows(self, weights: list[Tensor]) -> Tensor:
        """Rows [n, k²] of the weights; what lies outside a smaller kernel is zero."""
        blocks = []
        for weight, shape, order in zip(weights, self.shapes, self.orders, strict=True):
            kernels = weight.flatten(0, 1)[order]
            if shape[2:] != (self.kernel_size, self.kernel_size):
                whole = kernels.new_zeros(len(kernels), self.kernel_size, self.kernel_size)
                whole[self._center(shape)] = kernels
                kernels = whole
            blocks.append(kernels.flatten(1))
        return torch.cat(blocks)

    def weights(self, rows: Tensor) -> list[Tensor]:
        """The weights of each layer from rows [n, k²]."""
        weights = []
        for block, shape, inverse in zip(rows.split(self.counts), self.shapes, self.inverses, strict=True):
            kernels = block.unflatten(1, (self.kernel_size, self.kernel_size))[self._center(shape)]
            weights.append(kernels[inverse].reshape(shape))
        return weights

    def mask(self, device: torch.device) -> Tensor | None:
        """[n, k²], one where a row holds a weight; None if every kernel is k×k."""
        if all(shape[2:] == (self.kernel_size, self.kernel_size) for shape in self.shapes):
            return None
        return self.rows([torch.ones(shape, device=device) for shape in self.shapes])

    @property
    def parameters(self) -> int:
        """Number of learnable weights."""
        return sum(f * c * height * width for f, c, height, width in self.shapes)

    def _center(self, shape: tuple[int, int, int, int]) -> tuple[slice, slice, slice]:
        top, left = (self.kernel_size - shape[2]) // 2, (self.kernel_size - shape[3]) // 2
        return slice(None), slice(top, top + shape[2]), slice(left, left + shape[3])
