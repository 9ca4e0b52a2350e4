"""Weights that torchvision publishes, by their name there: downloaded once, checked at each use."""

import re
from pathlib import Path

import torch
from torch import nn

from nern import files
from nern.errors import NernError
from nern.networks.torchvision_shim import import_torchvision


def transform_as_trained(module: nn.Module, architecture: str, weights: str | None) -> None:
    """Let a GoogLeNet or Inception that is imported see the images that its weights were trained on.

    torchvision's were trained on images of another mean and variance, to which its own builders let these networks
    transform what they are given. A file does not say how its weights were trained.

    Args:
        module: the network; it is changed.
        architecture: its name in the configuration.
        weights: to import; None if it is trained.

    Raises:
        NernError: nobody says whether the images are transformed.
    """
    transforming = [part for part in module.modules() if hasattr(part, "transform_input")]
    if not transforming or weights is None:
        return
    if weights.startswith("torchvision:"):
        for part in transforming:
            part.transform_input = True  # type: ignore[assignment]
    elif architecture.startswith("torchvision:"):
        raise NernError(
            f"architecture {architecture!r} may transform its images, and {weights} does not say whether it does; "
            "return it from a function of yours (architecture: package.module:callable) with its transform_input"
        )


def pretrained_file(name: str) -> Path:
    """The checkpoint of one entry of torchvision's weights, in torch's own cache ($TORCH_HOME).

    Args:
        name: `ResNet18_Weights.IMAGENET1K_V1`, say.

    Raises:
        NernError: there is no such entry, it cannot be downloaded, or its SHA-256 is not the one in its file name.
    """
    models = import_torchvision("torchvision.models")
    try:
        url: str = models.get_weight(name).url
    except (ValueError, KeyError, AttributeError):
        raise NernError(
            f"unknown weights {name!r}: torchvision has none of that name; write, say, "
            "torchvision:ResNet18_Weights.IMAGENET1K_V1"
        ) from None
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if not file.exists():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(file), progress=False)
        except OSError as error:
            raise NernError(
                f"{url}: cannot be downloaded ({error}); connect to the network, or put the file into {file.parent}"
            ) from None
    wanted = re.search(r"-([0-9a-f]{8,})\.[a-z]+$", file.name)
    if wanted is None or not files.sha256(file).startswith(wanted[1]):
        raise NernError(f"{file}: is not what torchvision published (its SHA-256 differs); delete it and run again")
    return file
