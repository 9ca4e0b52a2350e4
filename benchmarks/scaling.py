"""How the time of a step grows with the predictor, with the kernels that get gradients and with the batch.

    python -m benchmarks.scaling [--network resnet56] [--threads 2] [--device cuda] [--repeats 5]

One number is changed at a time; the others are the paper's. All problems live in one process and take turns.
"""

import argparse
import statistics
from dataclasses import replace

from benchmarks import variants
from benchmarks.problem import Setting, add_options, setting_of
from benchmarks.step import describe
from benchmarks.table import end, markdown, number
from benchmarks.timing import in_turns, timer
from nern.settings import Phase

HIDDEN = (80, 160, 320)
KERNELS = (1024, 4096, 16384)
BATCH = (64, 128, 256)
HEADER = ["Hidden size", "Kernels with gradients", "Batch", "Reconstruction step (ms)", "Full step (ms)"]


def settings(base: Setting) -> list[Setting]:
    """The base setting with one number changed at a time, each setting once."""
    phase = base.phase

    def sampled(kernels: int) -> Phase:
        return phase.model_copy(update={"sampling": phase.sampling.model_copy(update={"kernels": kernels})})

    changed = [replace(base, hidden=hidden) for hidden in HIDDEN]
    changed += [replace(base, phase=sampled(kernels)) for kernels in KERNELS]
    changed += [replace(base, phase=phase.model_copy(update={"batch": batch})) for batch in BATCH]
    return [setting for index, setting in enumerate(changed) if setting not in changed[:index]]


def table(base: Setting, repeats: int) -> str:
    """Measure, as Markdown. A reconstruction step runs no network: the batch makes no difference to it."""
    device = base.start(1)
    timers, sizes = {}, {}
    for setting in settings(base):
        phase = setting.phase
        key = (setting.hidden, phase.sampling.kernels, phase.batch)
        sizes[f"{key}"] = key
        timers[f"{key} full"] = timer(variants.prepared(setting, "distillation"), device)
        if phase.batch == base.phase.batch:
            timers[f"{key} alone"] = timer(variants.prepared(setting, "reconstruction"), device)
    found = in_turns(timers, repeats)

    def shown(name: str) -> str:
        return number(statistics.median(found[name]) * 1e3) if name in found else "–"

    rows = [
        [f"{size:,}" for size in key] + [shown(f"{name} alone"), shown(f"{name} full")] for name, key in sizes.items()
    ]
    return markdown(HEADER, rows)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--repeats", type=int, default=5, help="turns of each")
    options = parser.parse_args()
    setting = setting_of(options)
    print(f"Around {describe(setting)}, median of {options.repeats}\n")
    print(table(setting, options.repeats))


if __name__ == "__main__":
    end(main)
