"""Which weights of a network the predictor learns: those of its convolutions, or of some of them."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from nern.errors import NernError

_MAKERS = (SpectralNorm, WeightNorm, BasePruningMethod)
"""Hooks of torch that make a weight of other parameters, before each forward pass and at no other time."""


def learnable_layers(module: nn.Module, *, include: Literal["all"] | list[int] | str = "all") -> list[str]:
    """Names of the convolutions that are learned, in the order of registration.

    Args:
        module: the original.
        include: all, or the sizes of their square kernels (the paper's ResNet18: [3]).

    Raises:
        NernError: there are none.
    """
    convolutions = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d)}
    if not convolutions:
        raise NernError(f"{type(module).__name__} has no Conv2d layers: there are no kernels to learn")
    if include == "all":
        return list(convolutions)
    chosen = [name for name, layer in convolutions.items() if layer.kernel_size in {(k, k) for k in include}]
    if not chosen:
        raise NernError(f"{type(module).__name__} has no convolutions of the sizes {include}; change `learnable`")
    return chosen


def is_plain(layer: nn.Module) -> bool:
    """Whether a module is a Conv2d that computes as torch.nn's does, perhaps under another class."""
    if not isinstance(layer, nn.Conv2d) or {"forward", "_conv_forward"} & vars(layer).keys():
        return False
    return type(layer).forward is nn.Conv2d.forward and type(layer)._conv_forward is nn.Conv2d._conv_forward


def weight_of(module: nn.Module, layer: str) -> Tensor:
    """The weight [F, C / groups, height, width] of one convolution of a network: what it computes with, to be written.

    Raises:
        NernError: the convolution has a forward pass of its own, or makes its weight of other tensors.
    """
    convolution = module.get_submodule(layer)
    weight = convolution._parameters.get("weight")
    if weight is None:
        raise NernError(
            f"{layer}: its weight is no parameter but made of others (by a parametrization, weight or spectral "
            "normalization, or a pruning mask), so that no predicted weight can be written; make it one, say by "
            "torch.nn.utils.parametrize.remove_parametrizations, or leave its size out of `learnable`"
        )
    if not is_plain(convolution):
        raise NernError(
            f"{layer}: {type(convolution).__name__} has a forward pass of its own, which may use its weight in another "
            "way than torch.nn.Conv2d does; use a torch.nn.Conv2d, or leave its size out of `learnable`"
        )
    return weight


@torch.no_grad()
def make_weights(module: nn.Module) -> None:
    """Let each weight that a hook of torch makes be made of what its parameters are now.

    Until a forward pass it is the one of the network as it was built, whatever was loaded since; and such a network
    cannot be copied.
    """
    for layer in module.modules():
        for hook in layer._forward_pre_hooks.values():
            if isinstance(hook, _MAKERS):
                hook(layer, ())
