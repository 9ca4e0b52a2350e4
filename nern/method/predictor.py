"""The predictor: a five-layer MLP from the embedding of a coordinate to one k×k kernel (paper, sections 3.1 and 3.3).

`CoordinateMLP` is the definition. `CoordinateTable` makes the same numbers faster: the embedding of (l, f, c) is a
concatenation, so the first layer is a sum of three parts that each depend on one index only. A network has a few
hundred distinct indices but tens of thousands of kernels: the parts are computed once per index and then looked up.
"""

import itertools
import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nern.method.activation import ACTIVATIONS
from nern.method.embedding import CoordinateEmbedding, OneHot, Sinusoids, index_counts
from nern.method.kernels import KernelLayout
from nern.settings import Activation, Embedding, PositionalEmbedding


class CoordinateMLP(nn.Module):
    """Linear layers embedding → h → h → h → h → k², with an activation between them: the paper's is ReLU."""

    def __init__(
        self, hidden: int, *, kernel_size: int, embedding: CoordinateEmbedding, activation: Activation = "relu"
    ) -> None:
        super().__init__()
        self.kernel_size, self.embedding, self.activation = kernel_size, embedding, ACTIVATIONS[activation]
        widths = [sum(embedding.widths), hidden, hidden, hidden, hidden, kernel_size**2]
        self.layers = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in itertools.pairwise(widths))

    @property
    def linears(self) -> list[nn.Linear]:
        """The five layers, from the embedding to the kernel."""
        return cast(list[nn.Linear], list(self.layers))

    def forward(self, coordinates: Tensor) -> Tensor:
        """Kernels [n, k²] of the coordinates [n, 3]."""
        return self.after_embedding(self.embedding(coordinates))

    def after_embedding(self, embedded: Tensor) -> Tensor:
        """Kernels [n, k²] from the embedding [n, sum of widths]."""
        return self.after_first(F.linear(embedded, self.linears[0].weight, self.linears[0].bias))

    def after_first(self, values: Tensor) -> Tensor:
        """Kernels [n, k²] from the first layer's output [n, h], before its activation."""
        for layer in self.linears[1:]:
            values = layer(self.activation(values))
        return values


class Predictor(CoordinateMLP):
    """The paper's, on sinusoids. With levels 40 and k 3 it has 94,229 parameters at h 140 and 117,289 at h 160."""

    def __init__(
        self, hidden: int, *, kernel_size: int, levels: int, base: float, activation: Activation = "relu"
    ) -> None:
        embedding = Sinusoids(base=base, levels=levels)
        super().__init__(hidden, kernel_size=kernel_size, embedding=embedding, activation=activation)


def predictor_of(embedding: Embedding, activation: Activation, hidden: int, layout: KernelLayout) -> CoordinateMLP:
    """The predictor of a network's kernels, by the protocol's embedding and activation."""
    size = layout.kernel_size
    if isinstance(embedding, PositionalEmbedding):
        levels, base = embedding.levels, embedding.base
        return Predictor(hidden, kernel_size=size, levels=levels, base=base, activation=activation)
    table = OneHot(index_counts([shape[:2] for shape in layout.shapes]))
    return CoordinateMLP(hidden, kernel_size=size, embedding=table, activation=activation)


class CoordinateTable(nn.Module):
    """All coordinates of a network, factored for the first layer. Exact up to the order of summation."""

    indices: Tensor

    def __init__(self, coordinates: Tensor, embedding: CoordinateEmbedding) -> None:
        """Factor coordinates [n, 3]; the predictor must have the same embedding."""
        super().__init__()
        indices: list[Tensor] = []
        self.sizes: list[int] = []
        for axis, column in enumerate(coordinates.T):
            values, inverse = torch.unique(column, return_inverse=True)
            self.register_buffer(f"part{axis}", embedding.part(axis, values))
            indices.append(inverse + sum(self.sizes))
            self.sizes.append(len(values))
        self.register_buffer("indices", torch.stack(indices, dim=1))  # [n, 3] rows of `first_layer_values`

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def parts(self) -> list[Tensor]:
        """Of l, f and c: the part of the embedding for each distinct index, [indices, width]."""
        return [self.get_buffer(f"part{axis}") for axis in range(3)]

    def predict(self, predictor: CoordinateMLP) -> Tensor:
        """Kernels [n, k²] of all coordinates: `predictor(coordinates)`."""
        return predictor.after_first(F.embedding_bag(self.indices, self.first_layer_values(predictor), mode="sum"))

    def first_layer_values(self, predictor: CoordinateMLP) -> Tensor:
        """What each distinct index adds to the first layer's output, [distinct indices, h]."""
        first = predictor.linears[0]
        weights = first.weight.split(predictor.embedding.widths, dim=1)
        values = [part @ weight.T for part, weight in zip(self.parts, weights, strict=True)]
        values[0] = values[0] + first.bias  # every kernel has one layer index, so the bias enters once
        return torch.cat(values)

    def sum_by_index(self, indices: Tensor, gradient: Tensor) -> Tensor:
        """Gradient in `first_layer_values`, from that in its sums over `indices` [m, 3]: [m, h]."""
        add = _add_in_order if gradient.device.type == "cpu" else _add_sorted
        return add(indices, gradient, sum(self.sizes))

    def first_layer_gradient(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients in the first layer's weight and bias from that in `first_layer_values`."""
        gradients = gradient.split(self.sizes)
        weights = [each.T @ part for each, part in zip(gradients, self.parts, strict=True)]
        return torch.cat(weights, dim=1), gradients[0].sum(dim=0)


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
    predictor: CoordinateMLP, table: CoordinateTable, target: Tensor, mask: Tensor | None, generator: torch.Generator
) -> None:
    """Draw the predictor's weights so that its first predictions have the original's mean and variance (appendix B).

    PyTorch's default draws all layers. Then the output layer is scaled and shifted, so that the first predicted weights
    have the standard deviation and the mean of the original's, in the manner of HyperNetworks (Ha et al. 2016).
    Of the ways to do so this one learned best (docs/fidelity.md).

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
def initialize_default(predictor: CoordinateMLP, generator: torch.Generator) -> None:
    """PyTorch's default for linear layers, U[−1/√in, 1/√in], from a named stream (both states of the authors' code).

    Sinusoids of N levels are in = 6N = 2|γ|² numbers, and their products with the first layer's weights add up to a
    variance of |γ|² / (3·in) = 1/6. Weights U[−1/√(2|γ|²), 1/√(2|γ|²)] do so whatever the embedding: of a table, the
    learned vectors' entries are U[−1/√6, 1/√6].
    """
    first = predictor.linears[0]
    for layer in predictor.linears:
        inputs = 2 * predictor.embedding.squared_norm if layer is first else layer.in_features
        for parameter, count in ((layer.weight, inputs), (layer.bias, layer.in_features)):
            bound = 1 / math.sqrt(count)
            drawn = torch.empty(parameter.shape, device=generator.device).uniform_(-bound, bound, generator=generator)
            parameter.copy_(drawn)
