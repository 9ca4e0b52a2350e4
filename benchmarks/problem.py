"""What is measured: a ResNet for CIFAR's images, its kernels, and one phase of a fit by the paper's protocol."""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn

from nern.config import Execution
from nern.errors import NernError
from nern.method.embedding import kernel_coordinates
from nern.method.kernels import KernelLayout
from nern.method.optimizers import PredictorOptimizer
from nern.method.predictor import CoordinateTable, initialize, predictor_of
from nern.method.training import training_sampler
from nern.method.workers import Workers
from nern.networks.cifar_resnet import CifarResNet
from nern.networks.learnable import learnable_layers, weight_of
from nern.networks.loading import load_weights, read_state_dict
from nern.provenance import cores
from nern.seeding import generator
from nern.settings import Activation, Embedding, Phase, PositionalEmbedding, Precision, PredictorPrecision
from nern.stages.runtime import start

DEPTHS = {"resnet8": 8, "resnet20": 20, "resnet56": 56}


@dataclass(frozen=True)
class Setting:
    """One problem and where it runs; the default phase has the paper's batch, kernels, losses and optimizer."""

    network: str = "resnet20"
    hidden: int = 160
    phase: Phase = field(default_factory=Phase)
    embedding: Embedding = field(default_factory=PositionalEmbedding)
    activation: Activation = "relu"
    threads: int = 1
    device: str = "cpu"
    weights: Path | None = None
    precision: Precision = "float32"
    predictor_precision: PredictorPrecision = "float32"

    def start(self, threads: int) -> torch.device:
        """Set torch up as a stage does, with a number of CPU threads; returns the device."""
        return start(Execution(device=self.device), threads)


class Problem:
    """Network, predictor, sampler, optimizer and threads of a setting, and one batch of Gaussian images.

    Args:
        setting: what to build.
        device: where.
        dtype: of all floats.
        size: side of the images in pixels.
    """

    def __init__(
        self, setting: Setting, device: torch.device, dtype: torch.dtype = torch.float32, size: int = 32
    ) -> None:
        self.setting, phase = setting, setting.phase
        torch.manual_seed(0)  # torch.nn draws its initial weights from the global generator
        drawn = torch.randn(phase.batch, 3, size, size, generator=generator(0, "benchmark"))
        self.module = _network(setting, drawn).to(device, dtype)
        self.images = drawn.to(device, dtype).contiguous(memory_format=torch.channels_last)
        self.layers = learnable_layers(self.module)
        weights = [weight_of(self.module, name).detach() for name in self.layers]
        stream = generator(0, "order")
        orders = [torch.randperm(w.shape[0] * w.shape[1], generator=stream) for w in weights]
        shapes = [(w.shape[0], w.shape[1], w.shape[2], w.shape[3]) for w in weights]
        self.layout = KernelLayout(shapes, orders).to(device)
        self.target = self.layout.rows(weights)
        coordinates = kernel_coordinates([shape[:2] for shape in shapes])
        made = predictor_of(setting.embedding, setting.activation, setting.hidden, self.layout)
        self.predictor = made.to(device, dtype)
        self.table = CoordinateTable(coordinates, self.predictor.embedding).to(device, dtype)
        self.coordinates = coordinates.to(device)
        initialize(self.predictor, self.table, self.target, None, generator(0, "initialization"))
        self.losses = phase.losses
        self.precision, self.predictor_precision = setting.precision, setting.predictor_precision
        self.sampler = training_sampler(phase, self.layout, self.target, 0)
        self.workers = Workers(setting.threads if device.type == "cpu" else 1)
        self.optimizer = PredictorOptimizer(self.predictor, phase.optimizer, self.workers, self.predictor_precision)


@torch.no_grad()
def _network(setting: Setting, images: Tensor) -> nn.Module:
    """The given checkpoint, or random weights with the batch statistics of the images, so that no map dies out."""
    module = CifarResNet(DEPTHS[setting.network], classes=10, shortcut="A")
    if setting.weights is not None:
        load_weights(module, read_state_dict(setting.weights), str(setting.weights))
        return module.eval()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    module.train()(images)
    return module.eval()


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that choose a setting."""
    parser.add_argument("--network", choices=sorted(DEPTHS), default="resnet20", help="with zero-padding shortcuts")
    parser.add_argument("--weights", type=Path, help="a state dict of the network; without one, random weights")
    parser.add_argument("--hidden", type=int, default=160, help="hidden size of the predictor")
    parser.add_argument("--kernels", type=int, default=4096, help="kernels that get gradients in a step")
    parser.add_argument("--batch", type=int, default=256, help="images in a step")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1")
    parser.add_argument("--threads", type=int, default=cores(), help="CPU threads")
    parser.add_argument("--precision", choices=get_args(Precision), default="float32", help="of the networks' passes")


def setting_of(options: argparse.Namespace) -> Setting:
    """The setting that the options choose.

    Raises:
        NernError: a number is below 1.
    """
    for name in ("hidden", "kernels", "batch", "threads"):
        if getattr(options, name) < 1:
            raise NernError(f"--{name} {getattr(options, name)}: must be at least 1")
    phase = Phase.model_validate({"batch": options.batch, "sampling": {"kernels": options.kernels}})
    chosen = {
        name: getattr(options, name) for name in ("network", "hidden", "threads", "device", "weights", "precision")
    }
    return Setting(phase=phase, **chosen)
