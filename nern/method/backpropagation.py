"""The predictor's forward and backward pass, written out, in pieces of rows.

Autograd gives the same gradients (tests hold it to that), but it takes fresh memory for every activation, and on a CPU
fetching megabytes of fresh pages costs more than a ReLU on them. Here a piece goes forward and back at once, in
buffers that its thread uses again and that stay in the core's cache.

Where the passes are of 16 bits, these are the activations, the gradients in them, and copies of the weights that enter
the products. Parameters, their gradients' sums, and the kernels are of 32.
"""

import threading
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from nern.method.precision import predictor_dtype, widened
from nern.method.predictor import CoordinateMLP, CoordinateTable
from nern.method.workers import Workers
from nern.settings import PredictorPrecision

CPU_ROWS = 1024
"""Rows in a piece on a CPU: a layer's activations stay in a core's cache, and few pieces cost few calls."""
GPU_ROWS = 2**18
"""On a GPU: all of a sample, and of an ImageNet network's kernels as many as a few GB of activations allow."""

KEPT_BYTES = 2**30
"""Activations of all kernels are kept up to so many: those of a ResNet56, hardly those of an ImageNet network."""

_Layer = tuple[Tensor, Tensor]
_Activations = tuple[list[Tensor], list[Tensor]]
"""What entered each layer after the first and, last, the kernels [p, k²]; and what entered each activation."""
GradientOf = Callable[[Tensor, slice], Tensor]
"""From the kernels [p, k²] of a piece of the sample, and which piece it is, the gradient [p, k²] in them."""


class _Buffers:
    """Numbered matrices that are used again where they are large enough."""

    def __init__(self) -> None:
        self.numbered: dict[int, Tensor] = {}

    def get(self, number: int, rows: int, weight: Tensor) -> Tensor:
        """Uninitialized memory [rows, outputs of `weight`]."""
        buffer = self.numbered.get(number)
        if buffer is None or len(buffer) < rows:
            buffer = self.numbered[number] = weight.new_empty(rows, len(weight))
        return buffer[:rows]


class _OfThread(threading.local):
    """Buffers that a thread shares with no other."""

    def __init__(self) -> None:
        self.buffers = _Buffers()


class PredictorPass:
    """Forward and backward passes of one predictor over samples of its coordinates."""

    def __init__(
        self,
        predictor: CoordinateMLP,
        table: CoordinateTable,
        workers: Workers,
        precision: PredictorPrecision = "float32",
    ) -> None:
        self.predictor, self.table, self.workers = predictor, table, workers
        self.rows = CPU_ROWS if table.indices.device.type == "cpu" else GPU_ROWS
        self.dtype = predictor_dtype(precision, predictor.linears[0].weight)
        self._own = _OfThread()
        self._buffers: list[_Buffers] = []  # one for each piece, from the first that is kept
        self._kept: list[_Activations] = []

    @torch.no_grad()
    def predict(self) -> Tensor:
        """Kernels [n, k²] of all coordinates."""
        values, layers = self.table.first_layer_values(self.predictor), self._layers()

        def predicted(indices: Tensor) -> Tensor:
            with torch.no_grad():  # of each thread
                return self._forward(indices, values, layers, self._own.buffers)[0][-1].clone()

        return torch.cat(self.workers.map(predicted, self.table.indices.split(self.rows)))

    @property
    def fits(self) -> bool:
        """Whether the activations of all coordinates may be kept."""
        widths = sum(layer.in_features for layer in self.predictor.linears[1:])
        return len(self.table) * widths * self.predictor.activation.kept * self.dtype.itemsize <= KEPT_BYTES

    @torch.no_grad()
    def predict_and_keep(self) -> Tensor:
        """Kernels [n, k²] of all coordinates, with their activations kept for `backward_of_kept`."""
        values, layers = self.table.first_layer_values(self.predictor), self._layers()
        pieces = self.table.indices.split(self.rows)
        self._buffers = self._buffers or [_Buffers() for _ in pieces]

        def predicted(piece: tuple[Tensor, _Buffers]) -> _Activations:
            with torch.no_grad():
                return self._forward(piece[0], values, layers, piece[1])

        self._kept = self.workers.map(predicted, zip(pieces, self._buffers, strict=True))
        return torch.cat([entered[-1] for entered, _ in self._kept])

    @torch.no_grad()
    def backward_of_kept(self, gradient: Tensor) -> None:
        """Set the parameters' gradients from that in all kernels [n, k²] of the last `predict_and_keep`."""
        layers, kept, self._kept = self._layers(), self._kept, []
        pieces = zip(self.table.indices.split(self.rows), kept, gradient.split(self.rows), strict=True)

        def of_piece(piece: tuple[Tensor, _Activations, Tensor]) -> list[Tensor]:
            indices, activations, part = piece
            with torch.no_grad():
                return self._backward(indices, activations, layers, part)

        self._set_gradients(self.workers.map(of_piece, pieces))

    @torch.no_grad()
    def backward(self, sample: Tensor, gradient_of: GradientOf) -> None:
        """Predict the coordinates in `sample` [m], and set the parameters' gradients from that in their kernels.

        Args:
            sample: rows of the coordinate table.
            gradient_of: called once per piece of the sample, from several threads.
        """
        values, layers = self.table.first_layer_values(self.predictor), self._layers()

        def of_piece(start: int) -> list[Tensor]:
            part = slice(start, start + self.rows)
            with torch.no_grad():
                indices = self.table.indices.index_select(0, sample[part])
                activations = self._forward(indices, values, layers, self._own.buffers)
                return self._backward(indices, activations, layers, gradient_of(activations[0][-1], part))

        self._set_gradients(self.workers.map(of_piece, range(0, len(sample), self.rows)))

    def _set_gradients(self, parts: list[list[Tensor]]) -> None:
        """From the parts of all pieces, added up in their order."""
        first_values, *others = (_sum(column) for column in zip(*parts, strict=True))
        first = self.predictor.linears[0]
        first.weight.grad, first.bias.grad = self.table.first_layer_gradient(first_values)
        parameters = [parameter for layer in self.predictor.linears[1:] for parameter in (layer.weight, layer.bias)]
        for parameter, total in zip(parameters, others, strict=True):
            parameter.grad = total

    @torch.no_grad()
    def scale(self, factor: Tensor) -> None:
        """Multiply the parameters' gradients by a scalar."""
        for parameter in self.predictor.parameters():
            assert parameter.grad is not None, "scale without backward"
            parameter.grad.mul_(factor)

    def _layers(self) -> list[_Layer]:
        """Weight and bias of each layer after the first, as they enter the products."""
        linears = self.predictor.linears[1:]
        return [(layer.weight.detach().to(self.dtype), layer.bias.detach().to(self.dtype)) for layer in linears]

    def _forward(self, indices: Tensor, values: Tensor, layers: list[_Layer], buffers: _Buffers) -> _Activations:
        """All activations of a piece; valid until the buffers' next use."""
        activation, entered = self.predictor.activation, []
        before = [F.embedding_bag(indices, values, mode="sum").to(self.dtype)]
        for number, (weight, bias) in enumerate(layers):
            own = buffers.get(len(layers) + number, len(indices), weight.T) if activation.kept == 2 else before[-1]
            entered.append(activation.forward(before[-1], own))
            before.append(torch.addmm(bias, entered[-1], weight.T, out=buffers.get(number, len(indices), weight)))
        return [*entered, widened(before.pop())], before

    def _backward(
        self, indices: Tensor, activations: _Activations, layers: list[_Layer], gradient: Tensor
    ) -> list[Tensor]:
        """Gradients in the first layer's values, then in weight and bias of each later layer."""
        parts: list[Tensor] = []
        gradient = gradient.to(self.dtype)
        for number, entered, before in reversed(list(zip(range(len(layers)), *activations, strict=False))):
            weight = layers[number][0]
            parts[:0] = [widened(gradient.T @ entered), widened(gradient).sum(dim=0)]
            buffer = self._own.buffers.get(~(number % 2), len(entered), weight.T)
            gradient = self.predictor.activation.backward_(torch.mm(gradient, weight, out=buffer), before)
        return [self.table.sum_by_index(indices, widened(gradient)), *parts]


def _sum(parts: tuple[Tensor, ...]) -> Tensor:
    """The sum in the order of the parts, in the memory of the first."""
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total
