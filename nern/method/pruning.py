"""Meta-compression: magnitude pruning of a predictor (paper, figure 5a), and how many bytes the rest takes."""

import safetensors.torch
import torch
from torch import Tensor

from nern.method.bits import pack_flags, unpack_flags


def prune(weights: dict[str, Tensor], sparsity: float) -> dict[str, Tensor]:
    """The weights with the smallest of all matrices set to zero; biases stay.

    Args:
        weights: a predictor's state dict.
        sparsity: share of the entries of the matrices, from 0 to 1, that become zero. Ties go by position.
    """
    matrices = {name: weight for name, weight in weights.items() if weight.dim() == 2}
    magnitudes = torch.cat([weight.abs().flatten() for weight in matrices.values()])
    count = round(sparsity * len(magnitudes))
    keep = torch.ones_like(magnitudes, dtype=torch.bool)
    keep[magnitudes.argsort(stable=True)[:count]] = False
    pruned, start = dict(weights), 0
    for name, weight in matrices.items():
        mask = keep[start : start + weight.numel()].view_as(weight)
        pruned[name] = torch.where(mask, weight, torch.zeros_like(weight))
        start += weight.numel()
    return pruned


def pack(weights: dict[str, Tensor]) -> bytes:
    """A safetensors file: of each matrix with enough zeros a bit per entry and the others' values, else as it is."""
    packed: dict[str, Tensor] = {}
    for name, weight in weights.items():
        nonzero = weight.flatten() != 0
        if weight.dim() == 2 and 32 * int((~nonzero).sum()) > weight.numel():
            packed[f"{name}.mask"] = pack_flags(nonzero)
            packed[f"{name}.values"] = weight.flatten()[nonzero].contiguous()
            packed[f"{name}.shape"] = torch.tensor(weight.shape, dtype=torch.int32)
        else:
            packed[name] = weight.contiguous()
    return safetensors.torch.save(packed)


def unpack(data: bytes) -> dict[str, Tensor]:
    """The weights that `pack` was given."""
    packed = safetensors.torch.load(data)
    weights: dict[str, Tensor] = {}
    for name, value in packed.items():
        if name.endswith(".mask"):
            base = name.removesuffix(".mask")
            shape = packed[f"{base}.shape"].tolist()
            whole = torch.zeros(shape[0] * shape[1], dtype=packed[f"{base}.values"].dtype)
            whole[unpack_flags(value)[: len(whole)]] = packed[f"{base}.values"]
            weights[base] = whole.reshape(shape)
        elif not name.endswith((".values", ".shape")):
            weights[name] = value
    return weights
