"""Training an original in bfloat16, beside the same in float32.

    python -m benchmarks.training [--network resnet56] [--threads 2] [--device cuda] [--repeats 7]

Steps of the recipe (nern.stages.train_original) on one batch of Gaussian images take turns, each in a process of its
own.
"""

import argparse
from dataclasses import replace

import torch
from torch import nn

from benchmarks.problem import Problem, Setting, add_options, setting_of
from benchmarks.step import describe
from benchmarks.table import HEADER, Row, end, markdown
from benchmarks.timing import compete
from benchmarks.variants import Work
from nern.settings import Original
from nern.stages.train_original import descend


def prepared(setting: Setting) -> Work:
    """Steps of an original's training, on all threads."""
    device = setting.start(setting.threads)
    problem = Problem(setting, device)
    module: nn.Module = problem.module.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    recipe = Original(precision=setting.precision)
    optimizer = torch.optim.SGD(module.parameters(), lr=recipe.lr, momentum=recipe.momentum)
    labels = torch.arange(len(problem.images), device=device) % 10

    def work(_: int) -> None:
        descend(module, optimizer, problem.images, labels, recipe, [])

    return work


def row(setting: Setting, repeats: int) -> Row:
    """Images a second in either precision, by batches of the recipe's size."""
    setting = replace(setting, phase=setting.phase.model_copy(update={"batch": Original().batch}))
    settings = {name: replace(setting, precision=name) for name in ("bfloat16", "float32")}
    found = compete({name: (prepared, each) for name, each in settings.items()}, setting.device, repeats)
    ours, theirs = (found[name] for name in settings)
    rates = [setting.phase.batch / each.median for each in (ours, theirs)]
    what = f"training of an original in bfloat16, beside float32, batch {setting.phase.batch}"
    return Row(what, "images/s", *rates, peak=(ours.peak, theirs.peak), rate=True)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--repeats", type=int, default=7, help="turns of each")
    options = parser.parse_args()
    setting = setting_of(options)
    print(f"{describe(setting)}, median of {options.repeats}\n")
    print(markdown(HEADER, [row(setting, options.repeats).cells()]))


if __name__ == "__main__":
    end(main)
