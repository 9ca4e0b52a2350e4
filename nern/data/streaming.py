"""Images decoded from disk at each use, by worker processes that run ahead: ImageNet does not fit into memory.

Every crop is drawn by the image's place in the endless row of epochs, so a worker needs to know nothing but the step:
batches are the same with any number of workers, and a run that resumes at step k asks for step k.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from nern.data import cropping, pipeline
from nern.data.decoding import Pixels, decode, pixels
from nern.data.folders import Listing, read_bytes
from nern.errors import NernError
from nern.seeding import derive

_AHEAD = 2
"""Batches that each worker decodes ahead of the step."""


class _Steps(Dataset[Any]):
    """Batches by step: uint8 [b, C, size, size] and int64 [b]. Lives in the workers; must stay picklable."""

    def __init__(self, listing: Listing, channels: int, size: int, batch: int) -> None:
        self.listing, self.channels, self.size, self.batch = listing, channels, size, batch

    def places(self, step: int) -> list[tuple[int, int]]:
        """(image, place in the row of epochs) for each image of a step."""
        raise NotImplementedError

    def crop(self, image: Any, place: int) -> Any:
        """What the network sees of one image."""
        raise NotImplementedError

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor] | str:
        """One batch, or the sentence of a NernError: a raised one would reach the user as a worker's traceback."""
        try:
            places = self.places(step)
            found = [self._one(index, place) for index, place in places]
        except NernError as error:
            return str(error)
        labels = self.listing.labels[[index for index, _ in places]]
        return torch.from_numpy(np.stack(found)), torch.from_numpy(labels)

    def _one(self, index: int, place: int) -> Pixels:
        path = self.listing.path(index)
        return pixels(self.crop(decode(read_bytes(path), self.channels, str(path)), place))


class TrainingSteps(_Steps):
    """Training images, each epoch in another order, each time another crop."""

    def __init__(
        self, listing: Listing, channels: int, size: int, batch: int, *, flip: bool, seed: int, purpose: str
    ) -> None:
        super().__init__(listing, channels, size, batch)
        self.flip, self.seed, self.purpose = flip, seed, purpose
        self._order: tuple[int, Tensor] = (-1, torch.empty(0, dtype=torch.int64))

    def places(self, step: int) -> list[tuple[int, int]]:
        """(image, place in the row of epochs) for each image of a step."""
        found = []
        for epoch, start, stop in pipeline.epoch_slices(len(self.listing), self.batch, step):
            if self._order[0] != epoch:
                order = pipeline.epoch_order(len(self.listing), self.seed, self.purpose, epoch)
                self._order = (epoch, order)
            first = epoch * len(self.listing) + start
            found += [(index, first + i) for i, index in enumerate(self._order[1][start:stop].tolist())]
        return found

    def crop(self, image: Any, place: int) -> Any:
        """A random area of the image, scaled and perhaps mirrored."""
        source = random.Random(derive(self.seed, f"{self.purpose}/augmentation", place))
        return cropping.random_crop(image, self.size, self.flip, source)


class EvaluationSteps(_Steps):
    """Test images in order, the last batch perhaps smaller."""

    def __init__(self, listing: Listing, channels: int, size: int, batch: int, *, resize: int) -> None:
        super().__init__(listing, channels, size, batch)
        self.resize = resize

    def places(self, step: int) -> list[tuple[int, int]]:
        """(image, place in the row of epochs) for each image of a step."""
        stop = min(len(self.listing), (step + 1) * self.batch)
        return [(index, index) for index in range(step * self.batch, stop)]

    def crop(self, image: Any, place: int) -> Any:
        """The middle of the image."""
        return cropping.center_crop(image, self.resize, self.size)


class _From(Sampler[int]):
    """The steps from `first` on, up to `last` or without end."""

    def __init__(self, first: int, last: int | None) -> None:
        self.first, self.last = first, last

    def __iter__(self) -> Iterator[int]:
        step = self.first
        while self.last is None or step < self.last:
            yield step
            step += 1


class Stream:
    """Batches of `steps` on a device, in order from any first step; workers start at the first call."""

    def __init__(
        self, steps: _Steps, where: Path, *, workers: int, device: torch.device | str, last: int | None = None
    ) -> None:
        self.steps, self.where, self.workers, self.last = steps, where, workers, last
        self.device = torch.device(device)
        self._next = 0
        self._running: Any = None

    def get(self, step: int) -> tuple[Tensor, Tensor]:
        """Pixels uint8 [b, C, H, W] and labels int64 [b]. Any step but the next one restarts the workers.

        Raises:
            NernError: an image cannot be read, or a worker died.
        """
        if self._running is None or step != self._next:
            self._start(step)
        try:
            item = next(self._running)
        except RuntimeError as error:
            self.close()
            if not str(error).startswith(("DataLoader worker", "Pin memory thread")):
                raise
            reason = " ".join(str(error).split())[:160]
            raise NernError(
                f"{self.where}: a process that decodes images died ({reason}); lower images.workers, or enlarge "
                "/dev/shm"
            ) from None
        if isinstance(item, str):
            self.close()
            raise NernError(item)
        self._next = step + 1
        images, labels = item
        # From pinned memory the copy runs beside the GPU's work of the step before.
        return images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)

    def _start(self, step: int) -> None:
        self.close()
        loader = DataLoader(
            self.steps,
            batch_size=None,
            sampler=_From(step, self.last),
            num_workers=self.workers,
            prefetch_factor=_AHEAD if self.workers else None,
            pin_memory=self.device.type == "cuda",
            # The loader draws a base seed that nothing here uses; without this it would come from the global generator.
            generator=torch.Generator(),
        )
        self._running = iter(loader)

    def close(self) -> None:
        """End the workers."""
        # Dropping the last reference shuts them down; there is no public call.
        self._running = None
