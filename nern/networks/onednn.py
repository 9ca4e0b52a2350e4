"""A fault of oneDNN, which torch multiplies with on a CPU, and the way around it.

On a processor with AVX2 and no AVX-512, the gradient in the weights of a 1×1 convolution that skips pixels writes past
its memory where fewer than eight channels enter, channels last (torch 2.13 and 2.14): the process dies, or numbers
that are not its own change. ResNets for CIFAR of fewer than eight channels have such shortcuts.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

VECTOR = 8
"""Floats that an AVX2 register holds."""


def overruns(layer: nn.Module) -> bool:
    """Whether a layer is such a convolution. What enters may skip the pixels instead: it is the same function."""
    return (
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (1, 1)
        and layer.stride != (1, 1)
        and layer.padding in ((0, 0), "valid")
        and layer.in_channels < VECTOR
    )


@contextlib.contextmanager
def around_overruns(module: nn.Module) -> Iterator[None]:
    """A context in which a network's own passes are safe: without oneDNN, and slower, where it has such a layer."""
    backend: Any = torch.backends.mkldnn
    before = backend.enabled
    backend.enabled = before and not any(map(overruns, module.modules()))
    try:
        yield
    finally:
        backend.enabled = before
