"""The training step: here, as a plain program writes it, and the time its matrix products take at least.

    python -m benchmarks.step [--network resnet56] [--threads 2] [--device cuda] [--repeats 7]

A step is a whole iteration of a fit: sampling, gradients, optimizer. The variants run in turns, each in a process of
its own, and the medians count. The bound is the number of operations of the step's products and convolutions over the
best speed of a product of square matrices in the same turns.
"""

import argparse
from dataclasses import replace

import torch

from benchmarks import flops, variants
from benchmarks.problem import Problem, Setting, add_options, setting_of
from benchmarks.table import HEADER, Row, end, machine, markdown
from benchmarks.timing import compete
from nern.settings import Optimizer, Phase

BFLOAT16 = "distillation, bfloat16"
SMALL = Phase.model_validate({"batch": 16, "sampling": {"method": "all"}})
"""A phase of many small steps: here the predictor's passes take much of the time."""
SMALL_FLOAT32, SMALL_BFLOAT16 = "small steps, predictor in float32", "small steps, predictor in bfloat16"
MUON, TORCHS_MUON = "reconstruction by Muon", "reconstruction, torch's Muon"
SIZES = (1024, 1536, 2048)
"""Sides of the square matrices whose product's speed is measured."""


def rows(setting: Setting, repeats: int) -> list[Row]:
    """The full step, and the step on reconstruction alone beside two baselines."""
    works = {name: (variants.prepared, setting, name) for name in variants.VARIANTS}
    if setting.precision != "bfloat16":
        works[BFLOAT16] = (variants.prepared, replace(setting, precision="bfloat16"), "distillation")
    small = replace(setting, network="resnet56", weights=None, phase=SMALL, precision="bfloat16")
    works[SMALL_FLOAT32] = (variants.prepared, small, "distillation")
    works[SMALL_BFLOAT16] = (variants.prepared, replace(small, predictor_precision="bfloat16"), "distillation")
    by_muon = replace(setting, phase=setting.phase.model_copy(update={"optimizer": Optimizer(name="muon")}))
    works[MUON] = (variants.prepared, by_muon, "reconstruction")
    works[TORCHS_MUON] = (variants.prepared, by_muon, TORCHS_MUON)
    products = {f"matrix product {size}": (variants.matrix_product, setting, size) for size in SIZES}
    found = compete(works | products, setting.device, repeats)
    speed = max(2 * size**3 / min(found[f"matrix product {size}"].seconds) for size in SIZES)
    problem = Problem(setting, torch.device("cpu"))

    def row(what: str, here: str, baseline: str, operations: int | None) -> Row:
        ours, theirs = found[here], found[baseline]
        bound = None if operations is None else operations / speed * 1e3
        return Row(what, "ms", ours.median * 1e3, theirs.median * 1e3, bound, peak=(ours.peak, theirs.peak))

    alone = flops.reconstruction(problem)
    beside = f"full step in bfloat16, beside {setting.precision}"
    return [
        row("full step", "distillation", "distillation, straightforward", flops.distillation(problem)),
        row("reconstruction step", "reconstruction", "reconstruction, straightforward", alone),
        row(
            "reconstruction step, beside autograd on the sample",
            "reconstruction",
            "reconstruction, autograd on the sample",
            alone,
        ),
        row("reconstruction step by Muon in float32, beside torch's, in bfloat16", MUON, TORCHS_MUON, None),
        *([row(beside, BFLOAT16, "distillation", None)] if BFLOAT16 in found else []),
        row(
            "ResNet56, 16 images, all kernels: predictor in bfloat16, beside float32",
            SMALL_BFLOAT16,
            SMALL_FLOAT32,
            None,
        ),
    ]


def describe(setting: Setting) -> str:
    """The setting in one line."""
    phase = setting.phase
    return (
        f"{setting.network}, h {setting.hidden}, batch {phase.batch}, {phase.sampling.kernels:,} kernels, "
        f"{setting.precision}, {setting.threads} CPU threads, {machine(setting.device)}"
    )


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--repeats", type=int, default=7, help="turns of each variant")
    options = parser.parse_args()
    setting = setting_of(options)
    print(f"{describe(setting)}, median of {options.repeats}\n")
    print(markdown(HEADER, [row.cells() for row in rows(setting, options.repeats)]))


if __name__ == "__main__":
    end(main)
