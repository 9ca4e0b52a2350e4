"""The predictor: a five-layer MLP from the embedding of a coordinate to one k×k kernel (paper, sections 3.1 and 3.3).

`Predictor` is the definition. `CoordinateTable` makes the same numbers faster: the embedding of (l, f, c) is a
concatenation, so the first layer is a sum of three parts that each depend on one index only. A network has a few
hundred distinct indices but tens of thousands of kernels: the parts are computed once per index and then looked up.
"""

import itertools
import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nern.method.embedding import positional_embedding


class Predictor(nn.Module):
    """Linear layers 6·levels → h → h → h → h → k², with ReLU between them.

    With levels 40 and k 3 it has 94,229 parameters at h 140 and 117,289 at h 160.
    """

    def __init__(self, hidden: int, *, kernel_size: int, levels: int, base: float) -> None:
        super().__init__()
        self.kernel_size, self.levels, self.base = kernel_size, levels, base
        widths = [6 * levels, hidden, hidden, hidden, hidden, kernel_size**2]
        self.layers = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in itertools.pairwise(widths))

    @property
    def linears(self) -> list[nn.Linear]:
        """The five layers, from the embedding to the kernel."""
        return cast(list[nn.Linear], list(self.layers))

    def forward(self, coordinates: Tensor) -> Tensor:
        """Kernels [n, k²] of the coordinates [n, 3]."""
        embedding = positional_embedding(coordinates, base=self.base, levels=self.levels)
        return self.after_first(F.linear(embedding, self.linears[0].weight, self.linears[0].bias))

    def after_first(self, values: Tensor) -> Tensor:
        """Kernels [n, k²] from the first layer's output [n, h], before its ReLU."""
        for layer in self.linears[1:]:
            values = layer(F.relu(values))
        return values


class CoordinateTable(nn.Module):
    """All coordinates of a network, factored for the first layer. Exact up to the order of summation."""

    embeddings: Tensor
    indices: Tensor

    def __init__(self, coordinates: Tensor, *, base: float, levels: int) -> None:
        """Factor coordinates [n, 3]; the predictor must have the same base and levels."""
        super().__init__()
        parts, indices, self.sizes, offset = [], [], [], 0
        for column in coordinates.T:
            values, inverse = torch.unique(column, return_inverse=True)
            repeated = values.unsqueeze(1).expand(-1, 3)
            parts.append(positional_embedding(repeated, base=base, levels=levels)[:, : 2 * levels])
            indices.append(inverse + offset)
            self.sizes.append(len(values))
            offset += len(values)
        self.register_buffer("embeddings", torch.cat(parts))  # [distinct indices, 2·levels]
        self.register_buffer("indices", torch.stack(indices, dim=1))  # [n, 3] rows of `embeddings`

    def __len__(self) -> int:
        return len(self.indices)

    def predict(self, predictor: Predictor) -> Tensor:
        """Kernels [n, k²] of all coordinates: `predictor(coordinates)`."""
        return predictor.after_first(F.embedding_bag(self.indices, self.first_layer_values(predictor), mode="sum"))

    def first_layer_values(self, predictor: Predictor) -> Tensor:
        """What each distinct index adds to the first layer's output, [distinct indices, h]."""
        first = predictor.linears[0]
        blocks = self.embeddings.split(self.sizes)
        weights = first.weight.split(2 * predictor.levels, dim=1)
        parts = [block @ weight.T for block, weight in zip(blocks, weights, strict=True)]
        parts[0] = parts[0] + first.bias  # every kernel has one layer index, so the bias enters once
        return torch.cat(parts)

    def sum_by_index(self, indices: Tensor, gradient: Tensor) -> Tensor:
        """Gradient in `first_layer_values`, from that in its sums over `indices` [m, 3]: [m, h]."""
        add = _add_in_order if gradient.device.type == "cpu" else _add_sorted
        return add(indices, gradient, len(self.embeddings))

    def first_layer_gradient(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients in the first layer's weight and bias from that in `first_layer_values`."""
        parts = gradient.split(self.sizes)
        weights = [part.T @ block for part, block in zip(parts, self.embeddings.split(self.sizes), strict=True)]
        return torch.cat(weights, dim=1), parts[0].sum(dim=0)


def _add_in_order(indices: Tensor, gradient: Tensor, count: int) -> Tensor:
    """Rows of the gradient [m, h] added up by each of their indices [m, 3], below `count`: [count, h]."""
    total = gradient.new_zeros(count, gradient.shape[1])
    for column in indices.T:
        total.index_add_(0, column, gradient)
    return total


def _add_sorted(indices: Tensor, gradient: Tensor, count: int) -> Tensor:
    """The same on a GPU, where index_add_ adds in an order of chance: equal fits must end with equal bytes."""
    parts: list[Tensor] = [
        torch.ops.aten.embedding_dense_backward(gradient, column, count, -1, False) for column in indices.T
    ]
    return parts[0] + parts[1] + parts[2]


@torch.no_grad()
def initialize(
    predictor: Predictor, table: CoordinateTable, target: Tensor, mask: Tensor | None, generator: torch.Generator
) -> None:
    """Draw the predictor's weights so that its first predictions have the original's mean and variance (appendix B).

    All layers are drawn by PyTorch's default; then the output layer is scaled and shifted: the weights that it
    predicts get the standard deviation and the mean of the original's, in the manner of HyperNetworks (Ha et al.
    2016). Of the ways to do so this one learned best (docs/fidelity.md).

    Args:
        predictor: on any device; drawn on the generator's.
        table: the coordinates of the network that will be learned.
        target: rows [n, k²] of the original's kernels.
        mask: [n, k²], one where a row holds a weight; None if everywhere.
        generator: the stream to draw from.
    """
    initialize_default(predictor, generator)
    last = predictor.linears[-1]
    outputs = table.predict(predictor)
    if mask is not None:
        target, outputs = target[mask > 0], outputs[mask > 0]
    scale = target.std(correction=0) / outputs.std(correction=0)
    # a single weight, or weights that are all equal, have a mean to meet but no deviation
    scale = torch.where(scale.isfinite() & (scale > 0), scale, 1.0)
    last.weight.mul_(scale)
    last.bias.mul_(scale).add_(target.mean() - outputs.mean() * scale)


@torch.no_grad()
def initialize_default(predictor: Predictor, generator: torch.Generator) -> None:
    """PyTorch's default for linear layers, U[−1/√in, 1/√in], from a named stream (both states of the authors' code)."""
    for layer in predictor.linears:
        bound = 1 / math.sqrt(layer.in_features)
        for parameter in (layer.weight, layer.bias):
            drawn = torch.empty(parameter.shape, device=generator.device).uniform_(-bound, bound, generator=generator)
            parameter.copy_(drawn)
