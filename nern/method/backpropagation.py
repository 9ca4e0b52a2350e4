"""The predictor's forward and backward pass, written out, in pieces of rows.

Autograd gives the same gradients (tests hold it to that), but it takes fresh memory for every activation, and on a CPU
fetching megabytes of fresh pages costs more than a ReLU on them. Here the buffers are used again in every step.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from nern.method.predictor import CoordinateTable, Predictor
from nern.method.workers import Workers

CPU_ROWS = 2048
"""Rows in a piece on a CPU: two pieces for the paper's 2¹² kernels; of smaller ones the overhead shows."""
GPU_ROWS = 2**18
"""On a GPU: all of a sample, and of an ImageNet network's kernels as many as a few GB of activations allow."""


class PredictorPass:
    """Forward and backward passes of one predictor over samples of its coordinates."""

    def __init__(self, predictor: Predictor, table: CoordinateTable, workers: Workers) -> None:
        self.predictor, self.table, self.workers = predictor, table, workers
        self.rows = CPU_ROWS if table.indices.device.type == "cpu" else GPU_ROWS
        self._pieces: list[_Piece] = []
        self._used = 0

    @torch.no_grad()
    def predict(self) -> Tensor:
        """Kernels [n, k²] of all coordinates; keeps nothing for a backward pass."""
        values = self.table.first_layer_values(self.predictor)

        def predicted(indices: Tensor) -> Tensor:
            with torch.no_grad():
                return self.predictor.after_first(F.embedding_bag(indices, values, mode="sum"))

        return torch.cat(self.workers.map(predicted, self.table.indices.split(self.rows)))

    @torch.no_grad()
    def forward(self, sample: Tensor) -> Tensor:
        """Kernels [m, k²] of the coordinates in `sample` [m]."""
        values = self.table.first_layer_values(self.predictor)
        parts = self.table.indices[sample].split(self.rows)
        self._used = len(parts)
        while len(self._pieces) < self._used:
            self._pieces.append(_Piece(self.predictor))
        pairs = zip(self._pieces, parts, strict=False)
        return torch.cat(self.workers.map(lambda pair: pair[0].forward(pair[1], values), pairs))

    @torch.no_grad()
    def backward(self, gradient: Tensor) -> None:
        """Set the parameters' gradients from the gradient [m, k²] in the kernels of the last forward pass."""
        assert self._used, "backward without forward"
        pairs = zip(self._pieces[: self._used], gradient.split(self.rows), strict=True)
        parts = self.workers.map(lambda pair: pair[0].backward(pair[1]), pairs)
        self._used = 0
        values, *others = (_sum(column) for column in zip(*parts, strict=True))
        first = self.predictor.linears[0]
        first.weight.grad, first.bias.grad = self.table.first_layer_gradient(values)
        parameters = [parameter for layer in self.predictor.linears[1:] for parameter in (layer.weight, layer.bias)]
        for parameter, total in zip(parameters, others, strict=True):
            parameter.grad = total


def _sum(parts: tuple[Tensor, ...]) -> Tensor:
    """The sum in the order of the parts, in the memory of the first."""
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total


class _Piece:
    """The passes over one piece of a sample, with buffers of its own."""

    def __init__(self, predictor: Predictor) -> None:
        self.layers = predictor.linears[1:]
        self._buffers: dict[str, Tensor] = {}
        self._lookup: tuple[Tensor, Tensor] | None = None
        self._inputs: list[Tensor] = []

    def _buffer(self, name: str, rows: int, columns: int) -> Tensor:
        buffer = self._buffers.get(name)
        if buffer is None or len(buffer) < rows:
            weight = self.layers[0].weight
            buffer = self._buffers[name] = torch.empty(rows, columns, device=weight.device, dtype=weight.dtype)
        return buffer[:rows]

    def forward(self, indices: Tensor, values: Tensor) -> Tensor:
        """Kernels [m, k²] from rows [m, 3] of the first layer's values; valid until the next call."""
        with torch.enable_grad():  # the lookup alone is left to autograd
            leaf = values.detach().requires_grad_()
            first = F.embedding_bag(indices, leaf, mode="sum")
            self._lookup = leaf, first
        with torch.no_grad():
            out = torch.relu_(first.detach())
            self._inputs = []
            for number, layer in enumerate(self.layers):
                self._inputs.append(out)
                buffer = self._buffer(f"layer {number}", len(indices), layer.out_features)
                out = torch.addmm(layer.bias, out, layer.weight.T, out=buffer)
                if number < len(self.layers) - 1:
                    out.relu_()
        return out

    def backward(self, gradient: Tensor) -> list[Tensor]:
        """Gradients in the first layer's values, then in weight and bias of each later layer."""
        assert self._lookup is not None, "backward without forward"
        parts: list[Tensor] = []
        with torch.no_grad():
            for number in reversed(range(len(self.layers))):
                layer, inputs = self.layers[number], self._inputs[number]
                parts[:0] = [gradient.T @ inputs, gradient.sum(dim=0)]
                buffer = self._buffer(f"gradient {number % 2}", len(inputs), layer.in_features)
                passed = torch.mm(gradient, layer.weight, out=buffer)
                gradient = torch.ops.aten.threshold_backward.grad_input(passed, inputs, 0, grad_input=passed)
        leaf, first = self._lookup
        (values,) = torch.autograd.grad(first, leaf, gradient)
        self._lookup = None
        return [values, *parts]
