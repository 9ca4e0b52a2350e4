"""What a job asks a cluster for: minutes and memory, scaled to its cell. Generous: a queue ends what takes longer."""

import math

from nern.addresses import Cell, OriginalCell
from nern.compression import compression_phase, compression_points
from nern.config import Config
from nern.resolved import original_settings, protocol_of, task_of
from nern.settings import FolderImages, Phase

STEP_SECONDS = 3 * 3600 / 70_000
"""Of a step on 256 images of 32×32: the paper's longest CIFAR fit on one RTX 3090."""
STEP_PIXELS = 256 * 32 * 32
EPOCH_MINUTES = 2
"""Of an original on CIFAR's 50,000 images."""
START_MINUTES = 20
"""Starting, reading images, testing."""


def fit_minutes(config: Config, cell: Cell) -> int:
    """Minutes of a fit: its iterations at the paper's speed, in proportion to the images of a step."""
    protocol, pixels = protocol_of(config, cell), _side(config, cell.task) ** 2
    phases = [protocol.training] + ([protocol.distillation] if protocol.distillation else [])
    seconds = sum(_seconds(phase, pixels) for phase in phases)
    return START_MINUTES + math.ceil(seconds / 60)


def _seconds(phase: Phase, pixels: int) -> float:
    return phase.iterations * STEP_SECONDS * max(1.0, phase.batch * pixels / STEP_PIXELS)


def compress_minutes(config: Config, target: Cell | OriginalCell) -> int:
    """Minutes of stage `compress`: a distillation for each codec that has one, and a test for each."""
    points = compression_points(config, target)
    distilled = [point for point in points.values() if point.rate is not None]
    seconds = 0.0
    if distilled:
        seconds = len(distilled) * _seconds(compression_phase(config, target)[1], _side(config, target.task) ** 2)
    return START_MINUTES + len(points) + math.ceil(seconds / 60)


def original_minutes(config: Config, original: OriginalCell) -> int:
    """Minutes of an original: of its epochs, or of reading the weights to import."""
    recipe = original_settings(config, original).recipe
    scale = max(1.0, (_side(config, original.task) / 32) ** 2)
    return START_MINUTES + (0 if recipe.weights else math.ceil(recipe.epochs * EPOCH_MINUTES * scale))


def mebibytes(config: Config, task: str) -> int:
    """Memory of a stage that works with a task's images, in MiB, with what each process that decodes images needs."""
    images = task_of(config, task).images
    return 6_000 + (1_500 * images.workers if isinstance(images, FolderImages) and images.streaming else 0)


def _side(config: Config, task: str) -> int:
    """The side of a task's images in pixels; CIFAR's where only the files say."""
    images = task_of(config, task).images
    return images.size if isinstance(images, FolderImages) else 32
