"""The predictor's forward and backward pass, written out, in pieces of rows.

Autograd gives the same gradients (tests hold it to that), but it takes fresh memory for every activation, and on a CPU
fetching megabytes of fresh pages costs more than a ReLU on them. Here a piece goes forward and back at once, in
buffers that its thread uses again and that stay in the core's cache.
"""

import threading
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from nern.method.predictor import CoordinateMLP, CoordinateTable
from nern.method.workers import Workers

CPU_ROWS = 1024
"""Rows in a piece on a CPU: a layer's activations stay in a core's cache, and few pieces cost few calls."""
GPU_ROWS = 2**18
"""On a GPU: all of a sample, and of an ImageNet network's kernels as many as a few GB of activations allow."""

_relu_gradient = torch.ops.aten.threshold_backward.grad_input

GradientOf = Callable[[Tensor, slice], Tensor]
"""From the kernels [p, k²] of a piece of the sample, and which piece it is, the gradient [p, k²] in them."""


class PredictorPass:
    """Forward and backward passes of one predictor over samples of its coordinates."""

    def __init__(self, predictor: CoordinateMLP, table: CoordinateTable, workers: Workers) -> None:
        self.predictor, self.table, self.workers = predictor, table, workers
        self.rows = CPU_ROWS if table.indices.device.type == "cpu" else GPU_ROWS
        self._layers = [(layer.weight.detach(), layer.bias.detach()) for layer in predictor.linears[1:]]
        self._buffers = _Buffers()

    @torch.no_grad()
    def predict(self) -> Tensor:
        """Kernels [n, k²] of all coordinates."""
        values = self.table.first_layer_values(self.predictor)

        def predicted(indices: Tensor) -> Tensor:
            with torch.no_grad():
                return self._forward(indices, values)[-1].clone()

        return torch.cat(self.workers.map(predicted, self.table.indices.split(self.rows)))

    @torch.no_grad()
    def backward(self, sample: Tensor, gradient_of: GradientOf) -> None:
        """Predict the coordinates in `sample` [m], and set the parameters' gradients from that in their kernels.

        Args:
            sample: rows of the coordinate table.
            gradient_of: called once per piece of the sample, from several threads.
        """
        values = self.table.first_layer_values(self.predictor)

        def of_piece(start: int) -> list[Tensor]:
            part = slice(start, start + self.rows)
            with torch.no_grad():  # of each thread
                indices = self.table.indices.index_select(0, sample[part])
                *inputs, kernels = self._forward(indices, values)
                return self._backward(indices, inputs, gradient_of(kernels, part))

        parts = self.workers.map(of_piece, range(0, len(sample), self.rows))
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

    def _forward(self, indices: Tensor, values: Tensor) -> list[Tensor]:
        """The input of each layer after the first, then the kernels [p, k²]; valid until the thread's next call."""
        inputs, layers = [torch.relu_(F.embedding_bag(indices, values, mode="sum"))], self._layers
        for number, (weight, bias) in enumerate(layers):
            buffer = self._buffers.get(number, len(indices), weight)
            out = torch.addmm(bias, inputs[-1], weight.T, out=buffer)
            inputs.append(out if number == len(layers) - 1 else out.relu_())
        return inputs

    def _backward(self, indices: Tensor, inputs: list[Tensor], gradient: Tensor) -> list[Tensor]:
        """Gradients in the first layer's values, then in weight and bias of each later layer."""
        parts: list[Tensor] = []
        for number in reversed(range(len(self._layers))):
            weight, entered = self._layers[number][0], inputs[number]
            parts[:0] = [gradient.T @ entered, gradient.sum(dim=0)]
            buffer = self._buffers.get(~(number % 2), len(entered), weight.T)
            passed = torch.mm(gradient, weight, out=buffer)
            gradient = _relu_gradient(passed, entered, 0, grad_input=passed)
        return [self.table.sum_by_index(indices, gradient), *parts]


def _sum(parts: tuple[Tensor, ...]) -> Tensor:
    """The sum in the order of the parts, in the memory of the first."""
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total


class _Buffers(threading.local):
    """Numbered matrices, different ones in each thread, that are used again where they are large enough."""

    def __init__(self) -> None:
        self.numbered: dict[int, Tensor] = {}

    def get(self, number: int, rows: int, weight: Tensor) -> Tensor:
        """Uninitialized memory [rows, outputs of `weight`]."""
        buffer = self.numbered.get(number)
        if buffer is None or len(buffer) < rows:
            buffer = self.numbered[number] = weight.new_empty(rows, len(weight))
        return buffer[:rows]
