"""Smoothness as a regularizer of the original (paper, eq. 6)."""

import torch.nn.functional as F
from torch import Tensor


def smoothness_loss(weights: list[Tensor]) -> Tensor:
    """L_smooth: over layers, the sum of the distances of kernels adjacent along f and along c; a scalar.

    Distances are cosine between flattened kernels, ℓ2 for 1×1 kernels.
    """
    total = weights[0].new_zeros(())
    for weight in weights:
        kernels = weight.flatten(2)
        for one, other in ((kernels[1:], kernels[:-1]), (kernels[:, 1:], kernels[:, :-1])):
            if weight.shape[2:] == (1, 1):
                total = total + (one - other).abs().sum()
            else:
                total = total + (1 - F.cosine_similarity(one, other, dim=2)).sum()
    return total
