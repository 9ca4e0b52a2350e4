"""The subcommands that make results: one per stage, and those that take a network away."""

import argparse
from pathlib import Path

from nern.addresses import Cell, OriginalCell, parse_target
from nern.command import CELL, ORIGINAL, TARGET, THREADS, command, configuration, option
from nern.matrix import figure_settings
from nern.report_settings import ImportanceFigure
from nern.settings import MODES
from nern.terminal import say

TASK = option("task", help="a task of the configuration")
MODE = option("--mode", required=True, choices=MODES)
CODEC = option("--codec", metavar="NAME", help="a codec, or NAME-distilled (default: floats of 32 bits)")
PACKED = option("packed", type=Path, metavar="FILE.nern")
TO_PACKED = option("file", type=Path, metavar="FILE.nern")
TO_WEIGHTS = option("file", type=Path, metavar="FILE.safetensors")


@command("prepare-data", "read a task's images from their source, check and store them", TASK)
def _prepare_data(arguments: argparse.Namespace) -> None:
    from nern.stages import prepare_data

    prepare_data.run(configuration(arguments), arguments.task)


@command("train-original", "train or import an original network", ORIGINAL, THREADS)
def _train_original(arguments: argparse.Namespace) -> None:
    from nern.stages import train_original

    train_original.run(configuration(arguments), OriginalCell.parse(arguments.original))


@command("permute", "order an original's kernels for one smoothing mode", ORIGINAL, MODE, THREADS)
def _permute(arguments: argparse.Namespace) -> None:
    from nern.stages import permute

    permute.run(configuration(arguments), OriginalCell.parse(arguments.original), arguments.mode)


@command("fit", "train a cell's predictor, and measure it for `evaluate`; resumes where it was killed", CELL, THREADS)
def _fit(arguments: argparse.Namespace) -> None:
    from nern.stages import evaluate, fit, handover

    config, cell = configuration(arguments), Cell.parse(arguments.cell)

    def then() -> None:
        handover.offer(config, cell, evaluate.measure(config, cell, config.execution.threads.fit))

    fit.run(config, cell, then)


@command("evaluate", "rebuild a cell's network and measure it", CELL, THREADS)
def _evaluate(arguments: argparse.Namespace) -> None:
    from nern.stages import handover

    config, cell = configuration(arguments), Cell.parse(arguments.cell)
    if not handover.accept(config, cell):
        from nern.stages import evaluate

        evaluate.run(config, cell)


@command("compress", "store a predictor, or an original's weights, by every codec, and measure it", TARGET, THREADS)
def _compress(arguments: argparse.Namespace) -> None:
    from nern.stages import compress

    compress.run(configuration(arguments), parse_target(arguments.path))


@command("importance", "errors and activations of the layer that figures.weight_importance names", CELL, THREADS)
def _importance(arguments: argparse.Namespace) -> None:
    from nern.stages import importance

    config = configuration(arguments)
    figure = figure_settings(config, "weight_importance")
    assert isinstance(figure, ImportanceFigure)
    importance.run(config, Cell.parse(arguments.cell), figure.layer, figure.images)


@command("export", "write a cell's reconstructed network as a state dict", CELL, TO_WEIGHTS)
def _export(arguments: argparse.Namespace) -> None:
    from nern.stages import pack

    say(pack.export(configuration(arguments), Cell.parse(arguments.cell), arguments.file))


@command(
    "pack", "write a cell or an original as one file: coded, with all its other parameters", TARGET, CODEC, TO_PACKED
)
def _pack(arguments: argparse.Namespace) -> None:
    from nern.stages import pack

    say(pack.pack(configuration(arguments), parse_target(arguments.path), arguments.file, arguments.codec))


@command("unpack", "write the network of a packed file as a state dict", PACKED, TO_WEIGHTS, configured=False)
def _unpack(arguments: argparse.Namespace) -> None:
    from nern.stages import unpack

    say(unpack.unpack(arguments.packed, arguments.file))
