"""What a training step asks for: `batch(step)`, normalized, on the device, and the same after a killed run.

One interface over three kinds: prepared images with augmentation, images streamed from disk, and noise.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from nern.addresses import data_path
from nern.config import Config
from nern.data import pipeline, prepared
from nern.data.current import listed, loaded
from nern.data.streaming import EvaluationSteps, Stream, TrainingSteps
from nern.errors import NernError
from nern.resolved import data_settings, task_of
from nern.seeding import generator
from nern.settings import Augmentation, Inputs


class TrainingBatches(ABC):
    """Inputs of a training step. A context manager: leaving it ends the processes that decode, if there are any."""

    @abstractmethod
    def batch(self, step: int) -> Tensor:
        """Inputs of one step, float32 [b, C, H, W] on the device. Steps count from 0."""

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """End what runs beside this process."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LabeledBatches(TrainingBatches):
    """Training images with their labels, for training an original."""

    count: int
    """Images in an epoch."""

    @abstractmethod
    def labeled(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs float32 [b, C, H, W] and labels int64 [b] of one step, on the device."""

    def batch(self, step: int) -> Tensor:
        """Inputs of one step, float32 [b, C, H, W] on the device. Steps count from 0."""
        return self.labeled(step)[0]


class ImageBatches(LabeledBatches):
    """Prepared images, cropped and flipped on the device.

    Everything random of an epoch is drawn on the CPU at its first step and copied once: the same on every device, and
    no step in between waits for the host.
    """

    def __init__(
        self,
        images: prepared.ImageSet,
        *,
        mean: list[float],
        std: list[float],
        augmentation: Augmentation,
        batch: int,
        seed: int,
        purpose: str,
        channels_last: bool = False,
    ) -> None:
        device = images.images.device
        self.images, self.count, self.size = images, len(images.labels), batch
        self.mean, self.std = (torch.tensor(values, device=device) for values in (mean, std))
        self.augmentation, self.channels_last = augmentation, channels_last
        self.seed, self.purpose = seed, purpose
        self._epochs: dict[int, tuple[Tensor, pipeline.Draws]] = {}

    def _epoch(self, epoch: int) -> tuple[Tensor, pipeline.Draws]:
        if epoch not in self._epochs:
            # Steps go forward: only the epoch before can still be needed, by a batch that runs over its end.
            self._epochs = {key: value for key, value in self._epochs.items() if key == epoch - 1}
            order = pipeline.epoch_order(self.count, self.seed, self.purpose, epoch)
            drawn = pipeline.draw(
                self.count,
                padding=self.augmentation.padding,
                flip=self.augmentation.flip,
                generator=generator(self.seed, f"{self.purpose}/augmentation", epoch),
            )
            to = self.images.images.device
            moved = pipeline.Draws(drawn.top.to(to), drawn.left.to(to), drawn.flip.to(to))
            self._epochs[epoch] = (order.to(to), moved)
        return self._epochs[epoch]

    def labeled(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs float32 [b, C, H, W] and labels int64 [b] of one step, on the device."""
        images, labels = [], []
        for epoch, start, stop in pipeline.epoch_slices(self.count, self.size, step):
            order, draws = self._epoch(epoch)
            chosen, part = order[start:stop], slice(start, stop)
            drawn = pipeline.Draws(draws.top[part], draws.left[part], draws.flip[part])
            images.append(pipeline.crop_and_flip(self.images.images[chosen], self.augmentation.padding, drawn))
            labels.append(self.images.labels[chosen])
        pixels = images[0] if len(images) == 1 else torch.cat(images)
        inputs = pipeline.normalize(pixels, self.mean, self.std, channels_last=self.channels_last)
        return inputs, labels[0] if len(labels) == 1 else torch.cat(labels)


class StreamedBatches(LabeledBatches):
    """Training images decoded, cropped and flipped by worker processes, normalized on the device."""

    def __init__(
        self, stream: Stream, *, count: int, mean: list[float], std: list[float], channels_last: bool = False
    ) -> None:
        self.stream, self.count, self.channels_last = stream, count, channels_last
        self.mean, self.std = (torch.tensor(values, device=stream.device) for values in (mean, std))

    def labeled(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs float32 [b, C, H, W] and labels int64 [b] of one step, on the device."""
        images, labels = self.stream.get(step)
        return pipeline.normalize(images, self.mean, self.std, channels_last=self.channels_last), labels

    def close(self) -> None:
        """End the workers."""
        self.stream.close()


class NoiseBatches(TrainingBatches):
    """Noise in place of images (paper, section 4.3, data-free). Drawn on the device: CPU and GPU draw differently."""

    def __init__(
        self,
        kind: pipeline.Noise,
        shape: tuple[int, int, int],
        *,
        batch: int,
        seed: int,
        purpose: str,
        device: torch.device | str,
        channels_last: bool = False,
    ) -> None:
        self.kind, self.shape, self.size = kind, shape, batch
        self.seed, self.purpose, self.device = seed, purpose, device
        self.layout = torch.channels_last if channels_last else torch.contiguous_format

    def batch(self, step: int) -> Tensor:
        """Inputs of one step, float32 [b, C, H, W] on the device. Steps count from 0."""
        drawn = pipeline.noise(
            self.kind, (self.size, *self.shape), generator(self.seed, f"{self.purpose}/noise", step, self.device)
        )
        return drawn.contiguous(memory_format=self.layout)


def training_images(
    config: Config,
    task: str,
    *,
    batch: int,
    seed: int,
    purpose: str,
    device: torch.device | str,
    channels_last: bool = False,
) -> LabeledBatches:
    """The task's training images with augmentation, from its prepared folder or streamed.

    Raises:
        NernError: the task's images are not prepared, or for other settings.
    """
    settings = task_of(config, task)
    streamed = listed(config, task, "train")
    if streamed is None:
        return ImageBatches(
            loaded(config, task, "train", device),
            mean=settings.mean,
            std=settings.std,
            augmentation=settings.augmentation,
            batch=batch,
            seed=seed,
            purpose=purpose,
            channels_last=channels_last,
        )
    if settings.augmentation.padding:
        raise NernError(
            f"tasks.{task}.augmentation.padding: streamed images are cropped at a random area and shape instead; set 0"
        )
    images, listing = streamed
    flip, channels = settings.augmentation.flip, len(settings.mean)
    steps = TrainingSteps(listing, channels, images.size, batch, flip=flip, seed=seed, purpose=purpose)
    stream = Stream(steps, workers=images.workers, device=device)
    return StreamedBatches(
        stream, count=len(listing), mean=settings.mean, std=settings.std, channels_last=channels_last
    )


def training_batches(
    config: Config,
    task: str,
    inputs: Inputs,
    *,
    batch: int,
    seed: int,
    purpose: str,
    device: torch.device | str,
    channels_last: bool = False,
) -> TrainingBatches:
    """The inputs of a fit's phase: images, or noise of their shape, for which no image is loaded.

    Args:
        config: The whole configuration.
        task: Name of the task.
        inputs: As in `Protocol.inputs`.
        batch: Images in a step.
        seed: The cell's seed.
        purpose: Name of the phase; phases with different names draw independently.
        device: Where the batches are wanted.
        channels_last: Memory layout of the batches.

    Raises:
        NernError: the task's images are not prepared, or for other settings.
    """
    if inputs == "images":
        return training_images(
            config, task, batch=batch, seed=seed, purpose=purpose, device=device, channels_last=channels_last
        )
    shape = prepared.read_manifest(Path(data_path(task)), data_settings(config, task)).shape
    return NoiseBatches(
        inputs, shape, batch=batch, seed=seed, purpose=purpose, device=device, channels_last=channels_last
    )


class TestBatches:
    """The test split in order, normalized, the last batch perhaps smaller. Iterate as often as needed."""

    __test__ = False  # pytest takes a class of this name for tests

    def __init__(
        self, config: Config, task: str, *, batch: int, device: torch.device | str, channels_last: bool = False
    ) -> None:
        settings = task_of(config, task)
        self.size, self.device, self.channels_last = batch, device, channels_last
        self.mean, self.std = (torch.tensor(values, device=device) for values in (settings.mean, settings.std))
        self._streamed = listed(config, task, "test")
        if self._streamed is None:
            self._images = loaded(config, task, "test", device)
            self.count = len(self._images.labels)
        else:
            self.count = len(self._streamed[1])

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in self._pieces():
            yield pipeline.normalize(images, self.mean, self.std, channels_last=self.channels_last), labels

    def _pieces(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self._streamed is None:
            for start in range(0, self.count, self.size):
                part = slice(start, start + self.size)
                yield self._images.images[part], self._images.labels[part]
            return
        images, listing = self._streamed
        steps = EvaluationSteps(listing, len(self.mean), images.size, self.size, resize=images.resize)
        last = -(-self.count // self.size)
        stream = Stream(steps, workers=images.workers, device=self.device, last=last)
        try:
            for step in range(last):
                yield stream.get(step)
        finally:
            stream.close()
