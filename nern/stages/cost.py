"""What a fit will take here: a few of its steps, timed."""

import math
import statistics
import time
from pathlib import Path

import torch

from nern.addresses import Cell, data_path, manifest_path
from nern.config import Config
from nern.data.prepared import read_manifest
from nern.distilling import needs_network
from nern.errors import NernError
from nern.method.embedding import kernel_coordinates
from nern.method.kernels import KernelLayout
from nern.method.optimizers import PredictorOptimizer
from nern.method.predictor import CoordinateTable, predictor_of
from nern.method.training import PredictorStep, training_sampler
from nern.method.workers import Workers
from nern.networks.learnable import learnable_layers
from nern.resolved import network_of, original_of, protocol_of, task_of
from nern.settings import DigitsImages, FolderImages, TorchvisionImages
from nern.stages.artifacts import TrainedOriginal, build_network
from nern.stages.teacher import Teacher

SECONDS = 1.0
"""That each kind of step is timed for, after a first one, which is not."""


def fit_seconds(
    config: Config,
    cell: Cell,
    original: TrainedOriginal,
    shape: tuple[int, int, int],
    device: torch.device,
    workers: Workers,
) -> float:
    """Seconds of a fit's iterations here, without reading images, tests and saving.

    Args:
        config: the configuration.
        cell: the fit.
        original: its network.
        shape: (channels, height, width) of its images.
        device: where it will run.
        workers: threads of it.

    Returns:
        The median time of a step of each kind, times their number, summed over the phases; and of reorderings.
    """
    protocol = protocol_of(config, cell)
    orders = [torch.arange(filters * channels) for filters, channels, _, _ in original.shapes]  # an order takes no time
    layout = KernelLayout(original.shapes, orders).to(device)
    target = layout.rows([weight.to(device) for weight in original.weights])
    predictor = predictor_of(protocol.embedding, protocol.activation, cell.hidden, layout).to(device)
    coordinates = kernel_coordinates([s[:2] for s in layout.shapes], normalized=protocol.embedding.normalized)
    table = CoordinateTable(coordinates, predictor.embedding).to(device)
    forward = PredictorStep(predictor, table, layout, target, workers, protocol.predictor_precision)
    teacher = Teacher(config, cell.task, original, protocol.precision, device, workers)
    total = 0.0
    for phase in filter(None, (protocol.training, protocol.distillation)):
        optimizer = PredictorOptimizer(predictor, phase.optimizer, workers, protocol.predictor_precision)
        sampler = training_sampler(phase, layout, target, cell.seed)
        images = torch.randn(phase.batch, *shape, device=device).to(memory_format=torch.channels_last)
        needs = [needs_network(phase, n, gradient=protocol.distillation_gradient) for n in range(phase.iterations)]
        for distills in (False, True):
            seconds: list[float] = []
            for step in (n for n, needed in enumerate(needs) if needed is distills):
                start = time.perf_counter()
                if distills:
                    forward.distill(sampler.draw(step), phase.losses, images, teacher.distill)
                else:
                    forward.reconstruct(sampler.draw(step), phase.losses)
                optimizer.step(0.0)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                seconds.append(time.perf_counter() - start)
                if sum(seconds[1:]) > SECONDS:
                    break
            if seconds:
                total += needs.count(distills) * statistics.median(seconds[1:] or seconds)
        if phase.reordering is not None:
            start = time.perf_counter()
            forward.reorder(cell.smoothing, phase.reordering.rounds, cell.seed, "cost", 0)
            total += math.ceil(phase.iterations / phase.reordering.every) * (time.perf_counter() - start)
    return total


def untrained(config: Config, cell: Cell) -> TrainedOriginal:
    """The original of a cell before it is trained: its steps take as long."""
    module = build_network(config, original_of(config, cell)).eval()
    learnable = network_of(config, cell.task, cell.network).learnable
    return TrainedOriginal(module, learnable_layers(module, include=learnable), sha256="")


def image_shape(config: Config, task: str) -> tuple[int, int, int]:
    """(channels, height, width) of a task's images: as they were prepared, else as their source has them.

    Raises:
        NernError: they are not prepared, and their source does not say.
    """
    if Path(manifest_path(task)).exists():
        return read_manifest(Path(data_path(task))).shape
    settings = task_of(config, task)
    images, channels = settings.images, len(settings.mean)
    if isinstance(images, TorchvisionImages | DigitsImages):
        side = 8 if isinstance(images, DigitsImages) else 32
    elif isinstance(images, FolderImages):
        side = images.size
    else:
        raise NernError(
            f"tasks.{task}.images: how large they are is known once they are read; run: nern prepare-data {task}"
        )
    return channels, side, side
