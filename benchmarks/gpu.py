"""Everything about a GPU in one table: the step in float32 and TF32 beside a straightforward one, and host waits.

    python -m benchmarks.gpu [--network resnet56] [--repeats 7]

For each precision: the full step and the reconstruction step, the straightforward steps in the same turns, the time
that 70,000 full steps would take, and how often a step makes the host wait for the device (0 is the aim; counted by
torch's own sync debug mode). Then images a second of the loader. Needs a CUDA device; exits with a sentence without.
"""

import argparse
import warnings

import torch

from benchmarks import loading, variants
from benchmarks.problem import Setting, add_options, setting_of
from benchmarks.step import describe, rows
from benchmarks.table import HEADER, end, markdown
from nern.errors import NernError

ITERATIONS = 70_000


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
    for tf32 in (False, True):
        setting = Setting(**(vars(base) | {"tf32": tf32}))
        print(f"\n{describe(setting)}, {'TF32' if tf32 else 'float32'}, median of {options.repeats}\n")
        found = rows(setting, options.repeats)
        print(markdown(HEADER, [row.cells() for row in found]))
        print(f"\n{ITERATIONS:,} full steps: {found[0].here * ITERATIONS / 6e4:.1f} min")
        for name in ("distillation", "reconstruction"):
            print(f"host waits in a {name} step: {waits(setting, name):.1f}")
    print("\n" + markdown(HEADER, [loading.row(torch.device(base.device)).cells()]))


if __name__ == "__main__":
    end(main)
