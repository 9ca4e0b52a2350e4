"""The subcommands of `nern`: one per stage, and those that look at the matrix, its results and one cell."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from nern.config import Config, fingerprint, read
from nern.init import options as init_options
from nern.settings import MODES
from nern.terminal import say


def _config(arguments: argparse.Namespace) -> Config:
    from nern import compression, matrix

    config = read(arguments.config or [Path("config.yaml")])
    if getattr(arguments, "threads", None):
        stage = {"compress": "evaluate", "importance": "evaluate"}.get(arguments.stage, arguments.stage)
        threads = config.execution.threads.model_copy(update={stage: arguments.threads})
        config = config.model_copy(update={"execution": config.execution.model_copy(update={"threads": threads})})
    matrix.check(config)
    compression.check(config)
    return config


def _init(arguments: argparse.Namespace) -> None:
    from nern.init import run

    say(run.run(arguments))


def _prepare_data(arguments: argparse.Namespace) -> None:
    from nern.stages import prepare_data

    prepare_data.run(_config(arguments), arguments.task)


def _train_original(arguments: argparse.Namespace) -> None:
    from nern.matrix import OriginalCell
    from nern.stages import train_original

    train_original.run(_config(arguments), OriginalCell.parse(arguments.original))


def _permute(arguments: argparse.Namespace) -> None:
    from nern.matrix import OriginalCell
    from nern.stages import permute

    permute.run(_config(arguments), OriginalCell.parse(arguments.original), arguments.mode)


def _fit(arguments: argparse.Namespace) -> None:
    from nern.matrix import Cell
    from nern.stages import evaluate, fit, handover

    config, cell = _config(arguments), Cell.parse(arguments.cell)

    def then() -> None:
        handover.offer(config, cell, evaluate.measure(config, cell, config.execution.threads.fit))

    fit.run(config, cell, then)


def _evaluate(arguments: argparse.Namespace) -> None:
    from nern.matrix import Cell
    from nern.stages import handover

    config, cell = _config(arguments), Cell.parse(arguments.cell)
    if not handover.accept(config, cell):
        from nern.stages import evaluate

        evaluate.run(config, cell)


def _table(arguments: argparse.Namespace) -> None:
    from nern.report import tables

    tables.write(_config(arguments), arguments.name, Path(), Path("tables"))


def _compress(arguments: argparse.Namespace) -> None:
    from nern.matrix import parse_target
    from nern.stages import compress

    compress.run(_config(arguments), parse_target(arguments.path))


def _importance(arguments: argparse.Namespace) -> None:
    from nern.matrix import Cell, figure_settings
    from nern.report_settings import ImportanceFigure
    from nern.stages import importance

    config = _config(arguments)
    figure = figure_settings(config, "weight_importance")
    assert isinstance(figure, ImportanceFigure)
    importance.run(config, Cell.parse(arguments.cell), figure.layer, figure.images)


def _figure(arguments: argparse.Namespace) -> None:
    from nern.report.figures import write

    write.write(_config(arguments), arguments.name, Path(), Path("figures"))


def _collect(arguments: argparse.Namespace) -> None:
    from nern.files import write_text
    from nern.matrix import all_cells, fit_settings
    from nern.report import cells_page, collect, partial
    from nern.report.inputs import metrics_of
    from nern.report.render_html import html

    config = _config(arguments)
    cells = all_cells(config)
    frame = collect.collect(cells, Path(), {cell: fingerprint(fit_settings(config, cell)) for cell in cells})
    stem = partial.stem("results/cells", metrics_of(cells), Path())
    collect.write_csv(Path(f"{stem}.csv"), frame)
    write_text(Path(f"{stem}.html"), html(cells_page.document(frame)))


def _status(arguments: argparse.Namespace) -> None:
    from nern.report import status

    config = _config(arguments)
    if arguments.watch:
        from nern.report import watch

        watch.watch(config, Path(), arguments.every)
    else:
        say(status.render(status.status(config, Path())))
        say(status.render_frontiers(status.frontiers(config, Path())))


def _plan(arguments: argparse.Namespace) -> None:
    config = _config(arguments)
    if arguments.measure is None:
        from nern.report import plan

        say(plan.render(plan.plan(config)))
    else:
        from nern.report import cost

        say(cost.measured(config, Path(), arguments.measure or None))


def _verify(arguments: argparse.Namespace) -> int:
    from nern.report import findings, verify

    found = verify.verify(_config(arguments))
    say(findings.render(found))
    return 1 if any(finding.error for finding in found) else 0


def _explain(arguments: argparse.Namespace) -> None:
    from nern import compression, matrix

    config, target = _config(arguments), matrix.parse_target(arguments.path)
    inputs = [f"{matrix.data_path(target.task)}/data.json"]
    settings: matrix.FitSettings | matrix.OriginalSettings
    sizes = {}
    if isinstance(target, matrix.Cell):
        from nern.stages.reconstruct import predictor_parameters

        sizes = {"predictor_parameters": predictor_parameters(config, target)}
        settings, original = matrix.fit_settings(config, target), matrix.original_of(config, target)
        inputs += [f"{original.path}/network.safetensors", original.permutation(target.smoothing)]
    else:
        settings, weights = matrix.original_settings(config, target), matrix.weights_file(config, target)
        inputs += [str(weights)] if weights else []
    stored = compression.compression_settings(config, target)
    explained = {
        "path": target.path,
        "fingerprint": fingerprint(settings),
        **sizes,
        "inputs": {path: "there" if Path(path).exists() else "missing" for path in inputs},
        "settings": settings.model_dump(mode="json"),
        "compression": {"fingerprint": fingerprint(stored)} | stored.model_dump(mode="json", exclude={"subject"}),
    }
    say(json.dumps(explained, indent=2, ensure_ascii=False))


def _pack(arguments: argparse.Namespace) -> None:
    from nern.matrix import parse_target
    from nern.stages import pack

    say(pack.pack(_config(arguments), parse_target(arguments.path), arguments.file, arguments.codec))


def _unpack(arguments: argparse.Namespace) -> None:
    from nern.stages import unpack

    say(unpack.unpack(arguments.packed, arguments.file))


def _export(arguments: argparse.Namespace) -> None:
    from nern.matrix import Cell
    from nern.stages import pack

    say(pack.export(_config(arguments), Cell.parse(arguments.cell), arguments.file))


def _plot(arguments: argparse.Namespace) -> None:
    from nern.matrix import Cell
    from nern.report.figures import cell

    say(cell.write(_config(arguments), Cell.parse(arguments.cell), Path()))


def _schema(arguments: argparse.Namespace) -> None:
    say(json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False))


CELL = "results/<task>/<network>/<smoothing>/h<hidden>/<variant>/seed<k>"
ORIGINAL = "results/<task>/<network>/originals/<name>"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main_parser = argparse.ArgumentParser(prog="nern", description=__doc__, allow_abbrev=False)
    commands = main_parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, handler: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.set_defaults(handler=handler, stage=name.replace("-", "_"))
        if name not in ("schema", "unpack"):
            command.add_argument(
                "--config",
                nargs="+",
                action="extend",
                type=Path,
                metavar="FILE",
                help="configuration files; of two settings the later wins (default: config.yaml)",
            )
        return command

    def threads(command: argparse.ArgumentParser) -> None:
        command.add_argument("--threads", type=_positive, metavar="N", help="CPU threads (default: as configured)")

    init_options.add_to(add("init", _init, "write a checked overlay for a trained network and its images"))
    command = add("prepare-data", _prepare_data, "read a task's images from their source, check and store them")
    command.add_argument("task", help="a task of the configuration")
    command = add("train-original", _train_original, "train or import an original network")
    command.add_argument("original", metavar="ORIGINAL", help=ORIGINAL)
    threads(command)
    command = add("permute", _permute, "order an original's kernels for one smoothing mode")
    command.add_argument("original", metavar="ORIGINAL", help=ORIGINAL)
    command.add_argument("--mode", required=True, choices=MODES)
    threads(command)
    command = add("fit", _fit, "train a cell's predictor, and measure it for `evaluate`; resumes where it was killed")
    command.add_argument("cell", metavar="CELL", help=CELL)
    threads(command)
    command = add("evaluate", _evaluate, "rebuild a cell's network and measure it")
    command.add_argument("cell", metavar="CELL", help=CELL)
    threads(command)
    command = add(
        "compress", _compress, "store a predictor, or an original's weights, by every codec, and measure each"
    )
    command.add_argument("path", metavar="CELL|ORIGINAL", help=f"{CELL} or {ORIGINAL}")
    threads(command)
    command = add("importance", _importance, "errors and activations of the layer that figures.weight_importance names")
    command.add_argument("cell", metavar="CELL", help=CELL)
    threads(command)
    add("collect", _collect, "write results/cells.csv and .html: one line per cell of the matrix, done or not")
    command = add("figure", _figure, "draw a figure from the cells that are there")
    command.add_argument("name", help="a figure of the configuration")
    command = add("table", _table, "write a table from the cells that are there")
    command.add_argument("name", help="a table of the configuration, conv_sizes, permutation_overhead or summary")
    command = add("status", _status, "list the matrix: done, running, failed, missing, with accuracy where known")
    command.add_argument("--watch", action="store_true", help="show what runs, with rate and time left, until Ctrl-C")
    command.add_argument("--every", type=_positive, default=5, metavar="S", help="seconds between looks (default: 5)")
    command = add("plan", _plan, "count the matrix's fits, with the GPU hours that the paper's fits took")
    text = "time a few steps of each kind of fit here: hours of the matrix, or of one table, and of what is not done"
    command.add_argument("--measure", nargs="?", const="", metavar="TABLE", help=text)
    add("verify", _verify, "check all results and tables against each other, the configuration and the code")
    command = add("explain", _explain, "print the resolved settings, fingerprints and inputs of a cell or an original")
    command.add_argument("path", metavar="CELL|ORIGINAL", help=f"{CELL} or {ORIGINAL}")
    command = add("plot", _plot, "draw a cell's losses, errors by layer and kernels into its folder")
    command.add_argument("cell", metavar="CELL", help=CELL)
    command = add("export", _export, "write a cell's reconstructed network as a state dict")
    command.add_argument("cell", metavar="CELL", help=CELL)
    command.add_argument("file", type=Path, metavar="FILE.safetensors")
    command = add("pack", _pack, "write a cell or an original as one file: coded, with all its other parameters")
    command.add_argument("path", metavar="CELL|ORIGINAL", help=f"{CELL} or {ORIGINAL}")
    command.add_argument("--codec", metavar="NAME", help="a codec, or NAME-distilled (default: floats of 32 bits)")
    command.add_argument("file", type=Path, metavar="FILE.nern")
    command = add("unpack", _unpack, "write the reconstructed network of a packed file as a state dict")
    command.add_argument("packed", type=Path, metavar="FILE.nern")
    command.add_argument("file", type=Path, metavar="FILE.safetensors")
    add("schema", _schema, "print the JSON schema of the configuration")
    return main_parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 is needed, not {text!r}")
    return int(text)
