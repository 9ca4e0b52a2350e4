"""Cells an hour on the cores of this machine: one fit with all of them, or as many fits with one each.

    python -m benchmarks.throughput [--threads 2] [--repeats 3]

Short loops of both kinds of step of the `decoupled` variant of config.yaml run in processes side by side, and the
arrangements take turns. A cell's time is that of its iterations at the measured speed; tests, reading and writing
come on top (benchmarks.overhead).
"""

import argparse
import statistics
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import variants
from benchmarks.problem import Setting, add_options, setting_of
from benchmarks.step import describe
from benchmarks.table import Row, end, markdown, number
from benchmarks.timing import Apart
from nern.config import layered, read
from nern.settings import Phase, Protocol

RECONSTRUCTIONS, DISTILLATIONS = 60, 4
"""Iterations of a loop."""
VARIANT = "decoupled"


def protocol() -> Protocol:
    """The decoupled protocol as config.yaml has it."""
    config = read([Path(__file__).parents[1] / "config.yaml"])
    return layered(f"variants.{VARIANT}", config.protocol, config.variants[VARIANT])


class Arrangement:
    """Some fits at once, a number of threads each. A context manager: leaving it ends the processes."""

    def __init__(self, setting: Setting, fits: int, phase: Phase, name: str) -> None:
        """Start the processes.

        Args:
            setting: of each fit, with its number of threads.
            fits: how many at once.
            phase: that they are in.
            name: of the variant of the step.
        """
        setting = replace(setting, phase=phase)
        with ExitStack() as stack:
            self.processes = [
                stack.enter_context(Apart(f"fit {number}", setting.device, variants.prepared, setting, name))
                for number in range(fits)
            ]
            self.stack = stack.pop_all()
        self.seconds(2)

    def seconds(self, steps: int) -> float:
        """Seconds of a step of one fit while all run; the mean over fits."""
        for process in self.processes:
            process.ask(steps)
        return statistics.mean([process.answer() for process in self.processes])

    def __enter__(self) -> "Arrangement":
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()


@dataclass(frozen=True)
class Throughput:
    """What one arrangement achieves."""

    fits: int
    threads: int
    reconstruction: float
    """Seconds of a step of one fit."""
    distillation: float
    cells_per_hour: float


def measure(setting: Setting, repeats: int) -> list[Throughput]:
    """One fit with all threads, and as many fits as threads."""
    decoupled = protocol()
    phases = (decoupled.training, decoupled.distillation or Phase())
    shapes = sorted({(1, setting.threads), (setting.threads, 1)})
    with ExitStack() as stack:
        running = {
            (shape, kind): stack.enter_context(Arrangement(replace(setting, threads=shape[1]), shape[0], phase, kind))
            for shape in shapes
            for phase, kind in zip(phases, ("reconstruction", "distillation"), strict=True)
        }
        seconds: dict[tuple[tuple[int, int], str], list[float]] = {key: [] for key in running}
        for _ in range(repeats):
            for key, arrangement in running.items():
                steps = RECONSTRUCTIONS if key[1] == "reconstruction" else DISTILLATIONS
                seconds[key].append(arrangement.seconds(steps))
    found = []
    for fits, threads in shapes:
        each = [statistics.median(seconds[(fits, threads), kind]) for kind in ("reconstruction", "distillation")]
        cell = sum(phase.iterations * time for phase, time in zip(phases, each, strict=True))
        found.append(Throughput(fits, threads, each[0], each[1], 3600 * fits / cell))
    return found


def row(setting: Setting, repeats: int) -> Row:
    """Many fits with one thread each, beside one with all."""
    found = measure(setting, repeats)
    one, many = found[0], found[-1]
    what = f"{many.fits} fits at once, a thread each, beside one with {one.threads} threads"
    return Row(what, "cells/h", many.cells_per_hour, one.cells_per_hour, rate=True)


def main() -> None:
    """Measure and print a table, and which arrangement wins."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--repeats", type=int, default=3, help="turns of each arrangement")
    options = parser.parse_args()
    setting = setting_of(options)
    found = measure(setting, options.repeats)
    decoupled = protocol()
    assert decoupled.distillation is not None
    iterations = f"{decoupled.training.iterations:,} + {decoupled.distillation.iterations:,} iterations"
    print(f"{describe(replace(setting, phase=decoupled.training))}, {VARIANT}, {iterations} a cell\n")
    header = [
        "Fits at once",
        "Threads each",
        "Reconstruction step (ms)",
        "Distillation step (ms)",
        "Cells/h",
        "Relative",
    ]
    rows = [
        [
            f"{each.fits}",
            f"{each.threads}",
            number(each.reconstruction * 1e3),
            number(each.distillation * 1e3),
            number(each.cells_per_hour),
            f"{each.cells_per_hour / found[0].cells_per_hour:.2f}",
        ]
        for each in found
    ]
    print(markdown(header, rows))
    best = max(found, key=lambda each: each.cells_per_hour)
    print(f"\nMost cells an hour: {best.fits} at once with {best.threads} thread(s) each")


if __name__ == "__main__":
    end(main)
