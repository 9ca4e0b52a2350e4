"""Images decoded from disk at each use, by worker processes that run ahead: ImageNet does not fit into memory.

The image's place in the endless row of epochs decides its crop. So a worker needs to know the step and nothing else.
Batches are the same with any number of workers, and a run that resumes at step k asks for step k.
"""

import multiprocessing
import random
import signal
import sys
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from nern.data import cropping, pipeline
from nern.data.decoding import Pixels, decode, pixels
from nern.data.folders import Listing, read_bytes
from nern.errors import NernError
from nern.provenance import cores
from nern.seeding import derive

Batch = tuple[Tensor, Tensor]
"""Pixels uint8 [b, C, size, size] and labels int64 [b]."""


class _Steps(Dataset[Batch | str]):
    """Batches by step. Lives in the workers too."""

    def __init__(self, listing: Listing, channels: int, size: int, batch: int) -> None:
        self.listing, self.channels, self.size, self.batch = listing, channels, size, batch

    def places(self, step: int) -> list[tuple[int, int]]:
        """(image, place in the row of epochs) for each image of a step."""
        raise NotImplementedError

    def crop(self, image: Image, place: int) -> Image:
        """What the network sees of one image."""
        raise NotImplementedError

    def __getitem__(self, step: int) -> Batch | str:
        """One batch, or the sentence of a NernError, whose traceback in a worker is no use to the parent."""
        try:
            images, labels = map(torch.from_numpy, self.decode(step))
        except NernError as error:
            return str(error)
        # Shared here, where the parent hears of a full /dev/shm. It would wait for ever for what fails behind this.
        return (images.share_memory_(), labels.share_memory_()) if get_worker_info() else (images, labels)

    def decode(self, step: int) -> tuple[Pixels, NDArray[np.int64]]:
        """Pixels uint8 [b, C, size, size] and labels int64 [b] of one step; NernError if an image cannot be read."""
        places = self.places(step)
        found = [self._one(index, place) for index, place in places]
        return np.stack(found), self.listing.labels[[index for index, _ in places]]

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

    def crop(self, image: Image, place: int) -> Image:
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

    def crop(self, image: Image, place: int) -> Image:
        """The middle of the image."""
        return cropping.center_crop(image, self.resize, self.size)


class Stream:
    """Batches of `steps` on a device; workers start at the first call and run ahead of the step.

    Args:
        steps: What to decode.
        workers: How many processes; 0 decodes in this one.
        device: Where the batches go.
        last: One past the last step, if there is one.
    """

    def __init__(self, steps: _Steps, *, workers: int, device: torch.device | str, last: int = sys.maxsize) -> None:
        self.steps, self.last = steps, last
        self.workers = min(workers, cores())
        self.device = torch.device(device)
        self._batches: Iterator[Batch | str] = iter(())
        self._next = -1

    def get(self, step: int) -> Batch:
        """Pixels uint8 [b, C, H, W] and labels int64 [b]; fast when steps are asked for one after the other.

        Raises:
            NernError: an image cannot be read, or a worker died or cannot be started.
        """
        found = self._found(step)
        if isinstance(found, str):
            self.close()
            raise NernError(found)
        self._next = step + 1
        images, labels = found
        return images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)

    def _found(self, step: int) -> Batch | str:
        """The batch of a step, or why there is none."""
        root = self.steps.listing.root
        try:
            if step != self._next:
                self.close()
                self._batches = self._from(step)
        except (OSError, ImportError, NotImplementedError) as error:  # any of them, where no semaphore can be made
            return (
                f"{root}: processes that decode images cannot be started ({error}); free memory and let /dev/shm be "
                "written, or set images.workers: 0"
            )
        try:
            return next(self._batches)
        except (OSError, EOFError, RuntimeError) as error:  # the first two, if it was killed with a batch in its hands
            if "shared memory" in str(error):
                return f"{root}: /dev/shm is too small for the images of a step; enlarge it, or set images.workers: 0"
            if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
                raise
            return f"{root}: a process that decodes images was killed, perhaps for want of memory; lower images.workers"

    def _from(self, step: int) -> Iterator[Batch | str]:
        context = multiprocessing.get_context("fork") if self.workers else None  # a worker has its libraries at once
        if context:
            context.Lock()  # fails here where it fails: a loader that is half made complains when it is removed
        batches = iter(
            DataLoader(
                self.steps,
                batch_size=None,
                sampler=range(step, self.last),
                num_workers=self.workers,
                pin_memory=self.device.type == "cuda",  # so that a copy leaves the GPU at its work of the step before
                multiprocessing_context=context,
                worker_init_fn=_leave_signals_to_the_parent,
            )
        )
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would raise wherever the parent is at work
        return batches

    def close(self) -> None:
        """End the workers."""
        self._batches, self._next = iter(()), -1


def _leave_signals_to_the_parent(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
