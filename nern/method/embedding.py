"""Positional embedding of kernel coordinates (paper, section 3.1).

γ(v) = (sin b⁰πv, cos b⁰πv, …, sin b^{N−1}πv, cos b^{N−1}πv), concatenated over the layer l, the filter f and the
input channel c. The indices themselves enter, not scaled to [0, 1): normalized ones fit far worse (METHOD).
"""

import math

import torch
from torch import Tensor


def positional_embedding(coordinates: Tensor, *, base: float, levels: int) -> Tensor:
    """Embed coordinates.

    Args:
        coordinates: [n, 3], the columns l, f, c.
        base: b > 0. The paper leaves it open; the authors' code has 0.76.
        levels: N ≥ 1.

    Returns:
        [n, 6·levels] in the default float type: for l, then f, then c, sines and cosines interleaved.
    """
    # float64 until the end: with b near 1 the arguments reach hundreds of radians, where float32 loses four digits
    frequencies = math.pi * base ** torch.arange(levels, dtype=torch.float64, device=coordinates.device)
    angles = coordinates.to(torch.float64).unsqueeze(-1) * frequencies
    waves = torch.stack((angles.sin(), angles.cos()), dim=-1)
    return waves.flatten(start_dim=1).to(torch.get_default_dtype())


def kernel_coordinates(shapes: list[tuple[int, int]], *, normalized: bool = False) -> Tensor:
    """The coordinate (l, f, c) of every kernel of the learnable layers, in layer, filter, channel order.

    Args:
        shapes: filters F_l and input channels C_l of each layer.
        normalized: divide by the number of layers, F_l and C_l; a variant that is off by default.

    Returns:
        [sum of F_l·C_l, 3] in float64.
    """
    blocks = []
    for layer, (filters, channels) in enumerate(shapes):
        f, c = torch.meshgrid(torch.arange(filters), torch.arange(channels), indexing="ij")
        block = torch.stack((torch.full_like(f, layer), f, c), dim=-1).reshape(-1, 3).to(torch.float64)
        if normalized:
            block = block / torch.tensor([len(shapes), filters, channels], dtype=torch.float64)
        blocks.append(block)
    return torch.cat(blocks)
