"""What stands between the predictor's layers: the paper's ReLU, or GELU, x·Φ(x), beyond the paper.

Each is a definition and the two passes of it that write into memory that is there. ReLU's gradient is known from its
value, so it overwrites what enters; GELU's needs what enters.
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from nern.settings import Activation as Name

_relu = torch.ops.aten.relu.out
_relu_gradient = torch.ops.aten.threshold_backward.grad_input
_gelu = torch.ops.aten.gelu.out
_gelu_gradient = torch.ops.aten.gelu_backward.grad_input


class Activation(ABC):
    """A function of each number."""

    kept: int
    """Matrices that the way back needs of each layer."""

    @abstractmethod
    def __call__(self, values: Tensor) -> Tensor:
        """The function, for autograd."""

    @abstractmethod
    def forward(self, values: Tensor, out: Tensor) -> Tensor:
        """The function of the values, in `out`: where one matrix is kept, these may be the values themselves."""

    @abstractmethod
    def backward_(self, gradient: Tensor, before: Tensor) -> Tensor:
        """In place, the gradient in what entered, from that in what came out.

        Args:
            gradient: in what came out.
            before: the values that were given to `forward`, as it left them.
        """


class ReLU(Activation):
    """max(x, 0)."""

    kept = 1

    def __call__(self, values: Tensor) -> Tensor:
        """The function, for autograd."""
        return F.relu(values)

    def forward(self, values: Tensor, out: Tensor) -> Tensor:
        """The larger of each value and 0."""
        activated: Tensor = _relu(values, out=out)
        return activated

    def backward_(self, gradient: Tensor, before: Tensor) -> Tensor:
        """Zero where the function is."""
        passed: Tensor = _relu_gradient(gradient, before, 0, grad_input=gradient)
        return passed


class GELU(Activation):
    """x·Φ(x), with the normal distribution function Φ itself and no approximation of it."""

    kept = 2

    def __call__(self, values: Tensor) -> Tensor:
        """The function, for autograd."""
        return F.gelu(values)

    def forward(self, values: Tensor, out: Tensor) -> Tensor:
        """Beside the values, which the way back needs."""
        activated: Tensor = _gelu(values, approximate="none", out=out)
        return activated

    def backward_(self, gradient: Tensor, before: Tensor) -> Tensor:
        """Times Φ(x) + x·φ(x)."""
        passed: Tensor = _gelu_gradient(gradient, before, approximate="none", grad_input=gradient)
        return passed


ACTIVATIONS: dict[Name, Activation] = {"relu": ReLU(), "gelu": GELU()}
