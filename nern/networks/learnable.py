"""Which weights of a network the predictor learns: those of its convolutions, or of some of them."""

from typing import Literal

from torch import Tensor, nn

from nern.errors import NernError


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


def weight_of(module: nn.Module, layer: str) -> Tensor:
    """The weight [F, C / groups, height, width] of one convolution of a network."""
    convolution = module.get_submodule(layer)
    assert isinstance(convolution, nn.Conv2d), layer
    return convolution.weight
