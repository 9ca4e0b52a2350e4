"""Timers that take turns, each in a process of its own: noise hits all alike, and threads and memory do not mix."""

import contextlib
import math
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import torch

from benchmarks.variants import Work
from nern.errors import NernError

Timer = Callable[[int], float]
"""Runs a number of steps; the seconds that one took."""

TURN = 0.3
"""Seconds of a turn, at least one step."""


@dataclass(frozen=True)
class Measured:
    """What one contender took."""

    seconds: list[float]
    """Of one step, in each turn."""
    peak: float
    """MiB: of the process, its libraries included; on a GPU, of tensors."""

    @property
    def median(self) -> float:
        """Median seconds of one step."""
        return statistics.median(self.seconds)


def timer(work: Work, device: torch.device) -> Timer:
    """A timer of work in this process. It counts the work as done when the device has done it."""
    done = 0

    def run(steps: int) -> float:
        nonlocal done
        _wait(device)
        start = time.perf_counter()
        for step in range(done, done + steps):
            work(step)
        _wait(device)
        done += steps
        return (time.perf_counter() - start) / steps

    return run


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_turns(timers: Mapping[str, Timer], repeats: int, turn: float = TURN) -> dict[str, list[float]]:
    """Seconds of a step of each timer in each of the turns, A B A B …, after a warm-up that does not count."""
    steps = {}
    for name, run in timers.items():
        run(2)
        steps[name] = max(1, math.ceil(turn / run(1)))
    seconds: dict[str, list[float]] = {name: [] for name in timers}
    for _ in range(repeats):
        for name, run in timers.items():
            seconds[name].append(run(steps[name]))
    return seconds


def compete(works: Mapping[str, tuple[Any, ...]], device: str, repeats: int) -> dict[str, Measured]:
    """Measure works in turns, each in a fresh process.

    Args:
        works: of each name a function that prepares the work, and its arguments; both are pickled.
        device: where they run.
        repeats: turns of each.

    Raises:
        NernError: one of the processes raised it, or died.
    """
    with ExitStack() as stack:
        apart = {name: stack.enter_context(Apart(name, device, *work)) for name, work in works.items()}
        seconds = in_turns({name: process.seconds for name, process in apart.items()}, repeats)
        return {name: Measured(seconds[name], process.peak()) for name, process in apart.items()}


def once(name: str, prepare: Callable[..., Work], *arguments: Any) -> tuple[float, float]:
    """Seconds of one step that takes long enough to be measured once, and the peak memory of its process in MiB."""
    with Apart(name, "cpu", prepare, *arguments) as process:
        return process.seconds(1), process.peak()


class Apart:
    """A work in a process of its own, which waits until it is asked for steps."""

    def __init__(self, name: str, device: str, prepare: Callable[..., Work], *arguments: Any) -> None:
        """Start the process, which prepares the work with the arguments; both are pickled."""
        context = multiprocessing.get_context("spawn")
        self.name = name
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, device, prepare, arguments), daemon=True)
        self.process.start()
        theirs.close()

    def seconds(self, steps: int) -> float:
        """A timer of the work."""
        self.ask(steps)
        return self.answer()

    def peak(self) -> float:
        """Peak memory in MiB; the last question."""
        self.ask(0)
        return self.answer()

    def ask(self, steps: int) -> None:
        """Ask for steps without waiting for them."""
        with contextlib.suppress(OSError):  # a dead process is told of by its answer
            self.pipe.send(steps)

    def answer(self) -> float:
        """Seconds of one of the steps that were asked for.

        Raises:
            NernError: the process raised it, or died.
        """
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError):
            raise NernError(f"{self.name}: its process died; is there enough memory?") from None
        if isinstance(answer, NernError):
            raise answer
        return float(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pipe.close()
        self.process.join()


def _serve(pipe: Connection, device: str, prepare: Callable[..., Work], arguments: tuple[Any, ...]) -> None:
    steps = pipe.recv()
    try:
        run = timer(prepare(*arguments), torch.device(device))
    except NernError as error:
        pipe.send(error)
        return
    try:
        while steps:
            pipe.send(run(steps))
            steps = pipe.recv()
        pipe.send(peak_memory(torch.device(device)))
    except EOFError:  # the other side has ended
        return


def peak_memory(device: torch.device) -> float:
    """MiB that this process has used at most: on a GPU those of tensors, else resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    # Linux hands ru_maxrss of a process on to the one it starts; VmHWM begins anew
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10
    unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, others KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
