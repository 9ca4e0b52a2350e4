"""Smoothness by regularization: the loss that makes an original's own weights smooth (paper, eq. 6)."""

import torch
from torch import Tensor

NO_DIRECTION = 1e-8
"""A kernel of a smaller norm has cosine 0 with any other, and no gradient: it would grow without bound near zero."""


def smoothness_loss(weights: list[Tensor]) -> Tensor:
    """L_smooth: the sum of the distances of kernels adjacent along the filters and along the channels, over layers.

    Args:
        weights: [F, C, k, k'] of each layer.

    Returns:
        A scalar. The distance is one minus the cosine; of 1×1 kernels the ℓ2 distance, of numbers |a − b|.
    """
    if not weights:
        return torch.zeros(())
    return torch.stack([_layer(weight.flatten(2)) for weight in weights]).sum()


def _layer(kernels: Tensor) -> Tensor:
    """The sum over one layer, for kernels [F, C, d]."""
    if kernels.shape[2] == 1:
        return kernels.diff(dim=0).abs().sum() + kernels.diff(dim=1).abs().sum()
    squares = kernels.square().sum(dim=2, keepdim=True)
    directed = squares >= NO_DIRECTION**2
    # Inside too, or the root's infinite gradient at zero times the zero outside is NaN.
    units = kernels * torch.where(directed, squares.where(directed, 1.0).rsqrt(), 0.0)
    along_filters = 1 - (units[1:] * units[:-1]).sum(dim=2)
    along_channels = 1 - (units[:, 1:] * units[:, :-1]).sum(dim=2)
    return along_filters.sum() + along_channels.sum()
