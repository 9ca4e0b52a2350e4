"""Threads that each take whole pieces of a step, instead of threads that share every operation.

A step is cut into pieces of a fixed size, and their results are added in the order of the pieces. So the bytes of a fit
do not depend on the number of threads. Threads meet once a step, not once per operation: that is faster, and does not
stall when something else uses a core.
"""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Part = TypeVar("Part")


def _begin() -> None:
    """What torch keeps per thread: one that begins late, beside other work, might have OpenMP's number of threads."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


class Workers:
    """Runs a function on pieces, in some number of threads; torch itself must be told to use one thread."""

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, "worker", _begin) if threads > 1 else None

    def map(self, function: Callable[[Item], Part], pieces: Iterable[Item]) -> list[Part]:
        """The function's value on each piece, in their order."""
        if self._pool is None:
            return [function(piece) for piece in pieces]
        parts: list[Part] = []
        pending: deque[Future[Part]] = deque()
        for piece in pieces:
            if len(pending) == 2 * self.threads:  # pieces may be read from disk as they are asked for
                parts.append(pending.popleft().result())
            pending.append(self._pool.submit(function, piece))
        return parts + [future.result() for future in pending]
