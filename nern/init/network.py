"""The trained network: its weights in its architecture, tried on noise and on test images."""

import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from nern.addresses import OriginalCell
from nern.config import Config, expand
from nern.data.pipeline import normalize
from nern.errors import NernError
from nern.init.images import Seen
from nern.init.options import Options, blaming, validated
from nern.init.overlay import Overlay
from nern.method.workers import Workers
from nern.networks.graph import FunctionalNetwork
from nern.networks.learnable import learnable_layers
from nern.networks.loading import load_weights
from nern.networks.pretrained import pretrained_file
from nern.networks.probe import probe
from nern.networks.trained_for import TrainedFor, said_by_file, said_by_torchvision
from nern.resolved import original_settings
from nern.settings import DigitsImages, Network, TorchvisionImages
from nern.stages.accuracy import Predictions, predict
from nern.stages.artifacts import TrainedOriginal, build_network

WEIGHTS, ARCHITECTURE = "--weights", "--architecture"


def weights_file(weights: str) -> Path:
    """The file to import, which torchvision's weights become once they are downloaded; NernError if there is none."""
    kind, _, name = weights.partition(":")
    with blaming(WEIGHTS):
        return pretrained_file(name) if kind == "torchvision" else expand(weights, "the path")


def trained_for(weights: str, path: Path) -> TrainedFor:
    """What is known of the weights' training."""
    kind, _, name = weights.partition(":")
    return said_by_torchvision(name) if kind == "torchvision" else said_by_file(path)


def settings_of(options: Options, tensors: dict[str, Tensor]) -> Network:
    """The architecture; of a cifar-resnet the weights say which shortcuts it has.

    Raises:
        NernError: an option is out of its range.
    """
    said = options.given("architecture", "depth", "width", "shortcut", "learnable")
    if options.architecture == "cifar-resnet" and options.shortcut is None:
        projections = any(word in name for name in tensors for word in ("downsample", "shortcut"))
        said["shortcut"] = "B" if projections else "A"
    return validated(Network, said | {"original": {"weights": options.weights}}, "--depth")


def loaded(
    overlay: Overlay, tensors: dict[str, Tensor], channels: int | None, where: Path
) -> tuple[Overlay, nn.Module]:
    """The network with its weights, and the overlay with as many channels as it takes.

    Args:
        overlay: without mean and deviation.
        tensors: the state dict.
        channels: of the images, where something says so; else the weights do.
        where: their file.

    Raises:
        NernError: the architecture cannot be built, or the weights do not fit it.
    """
    of_images = {DigitsImages: (1,), TorchvisionImages: (3,)}.get(type(overlay.images), (3, 1))
    errors = []
    for count in (channels,) if channels else of_images:
        candidate = replace(overlay, mean=[0.5] * count, std=[0.5] * count)
        module = built(candidate.config(), candidate.cell)
        try:
            load_weights(module, tensors, f"{WEIGHTS}: {where}")
        except NernError as error:
            errors.append(error)
        else:
            return candidate, module.eval()
    raise errors[0]


def built(config: Config, original: OriginalCell) -> nn.Module:
    """The architecture; NernError if it cannot be built."""
    with blaming(ARCHITECTURE):
        original_settings(config, original)  # finds the source of a module of the user's, also in this folder
        return build_network(config, original)


def as_original(config: Config, overlay: Overlay, module: nn.Module, shape: tuple[int, int, int]) -> TrainedOriginal:
    """The network as an original, after a trial on noise; NernError if it cannot be learned."""
    with blaming(ARCHITECTURE):
        probe(
            lambda: build_network(config, overlay.cell),
            classes=overlay.classes,
            shape=shape,
            learnable=overlay.network.learnable,
            trained=False,
        )
        layers = learnable_layers(module, include=overlay.network.learnable)
        if not FunctionalNetwork(module, layers).maps:
            raise NernError(
                f"no tensor of {type(module).__name__} enters an activation of torch.nn, so there are no feature maps "
                "to distill; use those activations"
            )
    return TrainedOriginal(module, layers, "")


def tested(module: nn.Module, seen: Seen, overlay: Overlay, device: torch.device, workers: Workers) -> Predictions:
    """What the network says of the test images that were seen; NernError if that is not finite."""
    images = normalize(seen.test.to(device), overlay.mean, overlay.std, channels_last=True)
    module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    where = f"{WEIGHTS}: {overlay.network.original.weights}"
    return predict(module, zip(images.split(50), seen.labels.split(50), strict=True), workers, where)


def near_chance(hits: int, images: int, classes: int) -> bool:
    """Whether so many hits are no more than three standard deviations above a guess's."""
    chance = 1 / classes
    return hits <= images * chance + 3 * math.sqrt(images * chance * (1 - chance))
