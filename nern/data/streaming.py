"""Images decoded from disk at each use, by worker processes that run ahead: ImageNet does not fit into memory.

Every crop is drawn by the image's place in the endless row of epochs, so a worker needs to know nothing but the step:
batches are the same with any number of workers, and a run that resumes at step k asks for step k.
"""

import multiprocessing
import os
import random
import signal
import threading
import time
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from nern.data import cropping, pipeline
from nern.data.decoding import Pixels, decode, pixels
from nern.data.folders import Listing, read_bytes
from nern.errors import NernError
from nern.provenance import cores
from nern.seeding import derive

_AHEAD = 2
"""Batches that each worker decodes ahead of the step."""


Batch = tuple[Pixels, NDArray[np.int64]]
"""Pixels uint8 [b, C, size, size] and labels int64 [b]."""


class _Steps:
    """Batches by step. Lives in the workers too."""

    def __init__(self, listing: Listing, channels: int, size: int, batch: int) -> None:
        self.listing, self.channels, self.size, self.batch = listing, channels, size, batch

    def places(self, step: int) -> list[tuple[int, int]]:
        """(image, place in the row of epochs) for each image of a step."""
        raise NotImplementedError

    def crop(self, image: Image, place: int) -> Image:
        """What the network sees of one image."""
        raise NotImplementedError

    def decode(self, step: int) -> Batch:
        """One batch; NernError if an image cannot be read."""
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


_steps: _Steps | None = None
"""What a worker decodes; set once in each worker."""


def _begin(steps: _Steps, parent: int) -> None:
    """Prepare a worker: one thread, Ctrl-C is the parent's business, and no life without the parent."""
    global _steps
    _steps = steps
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def watch() -> None:
        # A killed parent closes no queue that its own children hold open: they would wait for ever.
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _work(step: int) -> Batch | str:
    """One batch in a worker, or the sentence of a NernError, whose traceback is no use to the parent."""
    assert _steps is not None
    try:
        return _steps.decode(step)
    except NernError as error:
        return str(error)


class Stream:
    """Batches of `steps` on a device; workers start at the first call and run ahead of the step.

    Args:
        steps: What to decode.
        workers: How many processes; 0 decodes in this one.
        device: Where the batches go.
        last: One past the last step, if there is one.
    """

    def __init__(self, steps: _Steps, *, workers: int, device: torch.device | str, last: int | None = None) -> None:
        self.steps, self.last = steps, last
        self.workers = min(workers, cores())
        self.device = torch.device(device)
        self._pool: ProcessPoolExecutor | None = None
        self._ahead: deque[tuple[int, Future[Batch | str]]] = deque()

    def get(self, step: int) -> tuple[Tensor, Tensor]:
        """Pixels uint8 [b, C, H, W] and labels int64 [b]; fast when steps are asked for one after the other.

        Raises:
            NernError: an image cannot be read, or a worker died or cannot be started.
        """
        found = self._decoded(step) if self.workers else self.steps.decode(step)
        images, labels = map(torch.from_numpy, found)
        if self.device.type == "cuda":
            # Only from pinned memory does the copy leave the GPU at its work of the step before.
            images, labels = images.pin_memory(), labels.pin_memory()
        return images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)

    def _decoded(self, step: int) -> Batch:
        while self._ahead and self._ahead[0][0] != step:
            self._ahead.popleft()[1].cancel()
        following = self._ahead[-1][0] + 1 if self._ahead else step
        try:
            while len(self._ahead) < _AHEAD * self.workers and (self.last is None or following < self.last):
                self._ahead.append((following, self._submit(following)))
                following += 1
            found = self._ahead.popleft()[1].result()
        except BrokenProcessPool:
            self.close()
            raise NernError(
                f"{self.steps.listing.root}: a process that decodes images was killed, perhaps for want of memory; "
                "lower images.workers"
            ) from None
        if isinstance(found, str):
            self.close()
            raise NernError(found)
        return found

    def _submit(self, step: int) -> Future[Batch | str]:
        try:
            return self._started().submit(_work, step)
        except (OSError, ImportError, NotImplementedError) as error:  # any of them, where no semaphore can be made
            self.close()
            raise NernError(
                f"{self.steps.listing.root}: processes that decode images cannot be started ({error}); free memory and "
                "let /dev/shm be written, or set images.workers: 0"
            ) from None

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Forked, a worker has its libraries at once; it never touches the GPU.
            self._pool = ProcessPoolExecutor(
                self.workers,
                mp_context=multiprocessing.get_context("fork"),
                initializer=_begin,
                initargs=(self.steps, os.getpid()),
            )
        return self._pool

    def close(self) -> None:
        """End the workers."""
        self._ahead.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
