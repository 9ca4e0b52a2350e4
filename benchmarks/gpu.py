"""Everything about a GPU in one table: the step in each precision beside a straightforward one, and host waits.

    python -m benchmarks.gpu [--network resnet56] [--repeats 7]

For each precision: the full step and the reconstruction step, the straightforward steps in the same turns, the time
that 70,000 full steps would take, and how often a step makes the host wait for the device (0 is the aim; counted by
torch's own sync debug mode). Then what fits at once on the one GPU are worth (`snakemake --resources gpu=2` makes two
share it), and images a second of the loader. Needs a CUDA device; exits with a sentence without.
"""

import argparse
import statistics
import warnings
from dataclasses import replace
from typing import get_args

import torch

from benchmarks import loading, variants
from benchmarks.problem import Setting, add_options, setting_of
from benchmarks.step import describe, rows
from benchmarks.table import HEADER, end, markdown, number
from benchmarks.throughput import Arrangement
from nern.errors import NernError
from nern.settings import Precision

ITERATIONS = 70_000
AT_ONCE = (1, 2, 4)
STEPS = 20
"""Of each of the fits at once, in a turn."""


def waits(setting: Setting, name: str, steps: int = 5) -> float:
    """How often one step of a variant makes the host wait for the device."""
    work = variants.prepared(setting, name)
    for step in range(3):
        work(step)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for step in range(3, 3 + steps):
                work(step)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in caught) / steps


def at_once(setting: Setting, repeats: int) -> list[list[str]]:
    """Steps a second of all fits that share a device, by their number, for both kinds of step."""
    lines = []
    for fits in AT_ONCE:
        line = [str(fits)]
        for name in ("distillation", "reconstruction"):
            with Arrangement(setting, fits, setting.phase, name) as running:
                seconds = statistics.median(running.seconds(STEPS) for _ in range(repeats))
            line += [number(seconds * 1e3), number(fits / seconds)]
        lines.append(line)
    return lines


def main() -> None:
    """Measure and print the tables.

    Raises:
        NernError: torch sees no GPU.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.set_defaults(device="cuda")
    parser.add_argument("--repeats", type=int, default=7, help="turns of each variant")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise NernError("benchmarks.gpu: torch sees no GPU; run it where torch.cuda.is_available() is true")
    base = setting_of(options)
    for precision in get_args(Precision):
        setting = replace(base, precision=precision)
        print(f"\n{describe(setting)}, median of {options.repeats}\n")
        found = rows(setting, options.repeats)
        print(markdown(HEADER, [row.cells() for row in found]))
        print(f"\n{ITERATIONS:,} full steps: {found[0].here * ITERATIONS / 6e4:.1f} min")
        for name in ("distillation", "reconstruction"):
            print(f"host waits in a {name} step: {waits(setting, name):.1f}")
    header = ["Fits at once", "Full step (ms)", "steps/s of all", "Reconstruction step (ms)", "steps/s of all"]
    print("\n" + markdown(header, at_once(base, options.repeats)))
    print("\n" + markdown(HEADER, [loading.row(torch.device(base.device)).cells()]))


if __name__ == "__main__":
    end(main)
