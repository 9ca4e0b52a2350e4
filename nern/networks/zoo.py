"""From a name in the configuration to an untrained network."""

import importlib
from collections.abc import Callable

from torch import nn

from nern.errors import NernError, one_line
from nern.networks.cifar_resnet import CifarResNet
from nern.networks.torchvision_shim import import_torchvision, with_torchvision


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
        NernError: the name is unknown, the options do not fit it, or the user's own module or callable fails.
    """
    if architecture == "cifar-resnet":
        if depth is None:
            raise NernError("architecture cifar-resnet needs a depth (6n + 2); add depth: 20, say")
        return CifarResNet(depth, classes=classes, shortcut=shortcut or "B", width=width or 16, in_channels=in_channels)
    if (depth, width, shortcut) != (None, None, None):
        raise NernError(f"architecture {architecture!r} takes no depth, width or shortcut; remove them")
    kind, _, name = architecture.partition(":")
    if kind == "torchvision" and name:
        return _torchvisions(architecture, name, classes, in_channels)
    if not name:
        raise NernError(
            f"unknown architecture {architecture!r}: write cifar-resnet, torchvision:NAME or package.module:callable"
        )
    return _own(architecture, kind, name, classes, in_channels)


def _torchvisions(architecture: str, name: str, classes: int, in_channels: int) -> nn.Module:
    models = import_torchvision("torchvision.models")
    if name not in models.list_models(module=models):  # those of its submodules detect and segment
        raise NernError(f"unknown architecture {architecture!r}: torchvision has no model of that name that classifies")
    if in_channels != 3:
        raise NernError(f"architecture {architecture!r} takes images of 3 channels, not {in_channels}")
    network: nn.Module = models.get_model(name, weights=None, num_classes=classes)
    return network


def _own(architecture: str, module: str, name: str, classes: int, in_channels: int) -> nn.Module:
    try:
        factory = getattr(with_torchvision(lambda: importlib.import_module(module)), name)
    except (Exception, SystemExit) as error:  # of the user's module: anything
        advice = "mend it, or check PYTHONPATH"
        raise NernError(f"architecture {architecture!r} cannot be imported ({one_line(error)}); {advice}") from None
    try:
        network = with_torchvision(lambda: _made(factory, classes, in_channels))
    except _OtherArguments as error:
        raise NernError(f"architecture {architecture!r} must accept classes and in_channels ({error})") from None
    except (Exception, SystemExit) as error:
        raise NernError(f"architecture {architecture!r} cannot be built ({one_line(error)}); mend it") from None
    if not isinstance(network, nn.Module):
        raise NernError(f"architecture {architecture!r} must return an nn.Module, not {type(network).__name__}")
    return network


class _OtherArguments(Exception):
    """A callable does not take what it was called with."""


def _made(factory: Callable[..., object], classes: int, in_channels: int) -> object:
    try:
        return factory(classes=classes, in_channels=in_channels)
    except TypeError as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is None:  # raised by the call itself
            raise _OtherArguments(error) from None
        raise
