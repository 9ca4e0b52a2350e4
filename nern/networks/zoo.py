"""From a name in the configuration to an untrained network."""

import importlib

from torch import nn

from nern.errors import NernError
from nern.networks.cifar_resnet import CifarResNet
from nern.networks.torchvision_shim import import_torchvision


def build(
    architecture: str,
    *,
    classes: int,
    in_channels: int = 3,
    depth: int | None = None,
    width: int | None = None,
    shortcut: str | None = None,
) -> nn.Module:
    """An untrained network.

    Args:
        architecture: `cifar-resnet`, `torchvision:NAME`, or `package.module:callable` of the user's own, which is
            called with `classes` and `in_channels`.
        classes: outputs.
        in_channels: of the images.
        depth: of a cifar-resnet, 6n + 2.
        width: of a cifar-resnet's first stage; 16 if None.
        shortcut: of a cifar-resnet, A or B; B if None.

    Raises:
        NernError: the name is unknown, or the options do not fit it.
    """
    if architecture == "cifar-resnet":
        if depth is None:
            raise NernError("architecture cifar-resnet needs a depth (6n + 2); add depth: 20, say")
        return CifarResNet(depth, classes=classes, shortcut=shortcut or "B", width=width or 16, in_channels=in_channels)
    if (depth, width, shortcut) != (None, None, None):
        raise NernError(f"architecture {architecture!r} takes no depth, width or shortcut; remove them")
    kind, _, name = architecture.partition(":")
    if kind == "torchvision" and name:
        models = import_torchvision("torchvision.models")
        if name not in models.list_models():
            raise NernError(f"unknown architecture {architecture!r}: torchvision has no model of that name")
        if in_channels != 3:
            raise NernError(f"architecture {architecture!r} takes images of 3 channels, not {in_channels}")
        network: nn.Module = models.get_model(name, weights=None, num_classes=classes)
        return network
    if not name:
        raise NernError(
            f"unknown architecture {architecture!r}: write cifar-resnet, torchvision:NAME or package.module:callable"
        )
    return _own(architecture, kind, name, classes, in_channels)


def _own(architecture: str, module: str, name: str, classes: int, in_channels: int) -> nn.Module:
    try:
        factory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise NernError(f"architecture {architecture!r} cannot be imported ({error}); check PYTHONPATH") from None
    try:
        network = factory(classes=classes, in_channels=in_channels)
    except TypeError as error:
        raise NernError(f"architecture {architecture!r} must accept classes and in_channels ({error})") from None
    if not isinstance(network, nn.Module):
        raise NernError(f"architecture {architecture!r} must return an nn.Module, not {type(network).__name__}")
    return network
