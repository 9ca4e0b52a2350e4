"""Muon (Jordan et al. 2024) in the precision that a protocol says: torch's orthogonalizes in bfloat16 alone.

A processor that multiplies no 16-bit floats takes several times as long for these products as for those of 32 bits,
and they would be most of a step of reconstruction there (docs/performance.md).
"""

import math

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of x ↦ a·x + b·x³ + c·x⁵, which Muon applies to the singular values: steep at 0, and near 1 it stays near 1."""
ITERATIONS = 5
SMALLEST_NORM = 1e-7


def orthogonalized(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """U·S·Vᵀ of a matrix U·Σ·Vᵀ, with all of S near 1 (about 0.7 to 1.2) but of singular values near 0.

    Args:
        matrix: [m, n].
        dtype: of the products.

    Returns:
        [m, n] of this dtype.
    """
    a, b, c = COEFFICIENTS
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix.to(dtype, copy=True) if wide else matrix.to(dtype, copy=True).T
    x.div_(x.norm().clamp(min=SMALLEST_NORM))
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide else x.T


class Muon(torch.optim.Muon):
    """torch's Muon of one matrix, with Nesterov's momentum and steps as long as Adam's, in any precision."""

    def __init__(self, matrix: Tensor, *, lr: float, momentum: float, weight_decay: float, dtype: torch.dtype) -> None:
        super().__init__([matrix], lr=lr, momentum=momentum, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        self.matrix, self.dtype = matrix, dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # a closure is of no use here
        """One step along the matrix's gradient."""
        group, gradient = self.param_groups[0], self.matrix.grad
        assert gradient is not None
        state = self.state[self.matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        averaged = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        update = orthogonalized(gradient.lerp(averaged, group["momentum"]), self.dtype)
        self.matrix.mul_(1 - group["lr"] * group["weight_decay"])
        self.matrix.add_(update, alpha=-group["lr"] * 0.2 * math.sqrt(max(self.matrix.shape)))
