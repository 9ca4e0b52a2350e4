"""The predictor's forward and backward pass, written out with buffers that are used again in every step.

Autograd gives the same gradients (tests hold it to that), but it takes fresh memory for every activation, and on a CPU
fetching megabytes of fresh pages costs more than a ReLU on them. Only the first layer's lookup is left to autograd.
"""

import torch
from torch import Tensor

from nern.method.predictor import CoordinateTable, Predictor


class PredictorPass:
    """Forward and backward passes of one predictor over samples of its coordinates."""

    def __init__(self, predictor: Predictor, table: CoordinateTable) -> None:
        self.predictor, self.table = predictor, table
        self._buffers: dict[str, Tensor] = {}
        self._first: Tensor | None = None
        self._inputs: list[Tensor] = []

    def _buffer(self, name: str, rows: int, columns: int) -> Tensor:
        buffer = self._buffers.get(name)
        if buffer is None or len(buffer) < rows:
            weight = self.predictor.linears[0].weight
            buffer = self._buffers[name] = torch.empty(rows, columns, device=weight.device, dtype=weight.dtype)
        return buffer[:rows]

    def forward(self, sample: Tensor) -> Tensor:
        """Kernels [m, k²] of the coordinates in `sample` [m]; valid until the next call."""
        with torch.enable_grad():
            self._first = self.table.first_layer(self.predictor, sample)
        values = torch.relu_(self._first.detach())
        self._inputs = []
        for number, layer in enumerate(self.predictor.linears[1:]):
            self._inputs.append(values)
            buffer = self._buffer(f"layer {number}", len(sample), layer.out_features)
            values = torch.addmm(layer.bias.detach(), values, layer.weight.detach().T, out=buffer)
            if number < len(self.predictor.linears) - 2:
                values.relu_()
        return values

    def backward(self, gradient: Tensor) -> None:
        """Set the parameters' gradients from the gradient [m, k²] in the kernels of the last forward pass."""
        assert self._first is not None, "backward without forward"
        for number in reversed(range(len(self._inputs))):
            layer, inputs = self.predictor.linears[number + 1], self._inputs[number]
            layer.weight.grad = gradient.T @ inputs
            layer.bias.grad = gradient.sum(dim=0)
            buffer = self._buffer(f"gradient {number % 2}", len(inputs), layer.in_features)
            passed = torch.mm(gradient, layer.weight.detach(), out=buffer)
            gradient = torch.ops.aten.threshold_backward.grad_input(passed, inputs, 0, grad_input=passed)
        first = self.predictor.linears[0]
        first.weight.grad = first.bias.grad = None
        self._first.backward(gradient)
        self._first = None
