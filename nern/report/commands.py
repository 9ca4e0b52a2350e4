"""The subcommands that show results, and those that look at the matrix and its settings."""

import argparse
import json
from pathlib import Path

from nern import addresses, compression, resolved
from nern.command import CELL, TARGET, command, configuration, option, positive
from nern.config import Config, fingerprint
from nern.terminal import say


@command("collect", "write results/cells.csv and .html: one line per cell of the matrix, done or not")
def _collect(arguments: argparse.Namespace) -> None:
    from nern.report.cells import page as cells_page

    cells_page.write(configuration(arguments), Path(), Path("results"))


@command("figure", "draw a figure from the cells that are there", option("name", help="a figure of the configuration"))
def _figure(arguments: argparse.Namespace) -> None:
    from nern.report.figures import write

    write.write(configuration(arguments), arguments.name, Path(), Path("figures"))


@command(
    "table",
    "write a table from the cells that are there",
    option("name", help="a table of the configuration, conv_sizes, permutation_overhead or summary"),
)
def _table(arguments: argparse.Namespace) -> None:
    from nern.report.tables import write as tables

    tables.write(configuration(arguments), arguments.name, Path(), Path("tables"))


@command(
    "status",
    "list the matrix: done, running, failed, missing, with accuracy where known",
    option("--watch", action="store_true", help="show what runs, with rate and time left, until Ctrl-C"),
    option("--every", type=positive, default=5, metavar="S", help="seconds between looks (default: 5)"),
)
def _status(arguments: argparse.Namespace) -> None:
    from nern.report.status import matrix as status

    config = configuration(arguments)
    if arguments.watch:
        from nern.report.status import watch

        watch.watch(config, Path(), arguments.every)
    else:
        say(status.render(status.status(config, Path())))
        say(status.render_frontiers(status.frontiers(config, Path())))


@command(
    "plan",
    "count the matrix's fits, with the GPU hours that the paper's fits took",
    option(
        "--measure",
        nargs="?",
        const="",
        metavar="TABLE",
        help="time a few steps of each kind of fit here: hours of the matrix, or of one table, and of what is not done",
    ),
)
def _plan(arguments: argparse.Namespace) -> None:
    config = configuration(arguments)
    if arguments.measure is None:
        from nern.report.status import plan

        say(plan.render(plan.plan(config)))
        if note := plan.useless_bfloat16(config):
            say(f"\n{note}")
    else:
        from nern.report.status import cost

        say(cost.measured(config, Path(), arguments.measure or None))


@command("verify", "check all results and tables against each other, the configuration and the code")
def _verify(arguments: argparse.Namespace) -> int:
    from nern.report.verification import findings, verify

    found = verify.verify(configuration(arguments))
    say(findings.render(found))
    return 1 if any(finding.error for finding in found) else 0


@command("explain", "print the resolved settings, fingerprints and inputs of a cell or an original", TARGET)
def _explain(arguments: argparse.Namespace) -> None:
    config, target = configuration(arguments), addresses.parse_target(arguments.path)
    inputs = [addresses.manifest_path(target.task)]
    settings: resolved.FitSettings | resolved.OriginalSettings
    sizes = {}
    if isinstance(target, addresses.Cell):
        from nern.stages.reconstruct import predictor_parameters

        sizes = {"predictor_parameters": predictor_parameters(config, target)}
        settings, original = resolved.fit_settings(config, target), resolved.original_of(config, target)
        inputs += [f"{original.path}/network.safetensors", original.permutation(target.smoothing)]
    else:
        settings, weights = resolved.original_settings(config, target), resolved.weights_file(config, target)
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


@command("plot", "draw a cell's losses, errors by layer and kernels into its folder", CELL)
def _plot(arguments: argparse.Namespace) -> None:
    from nern.report.figures import cell

    say(cell.write(configuration(arguments), addresses.Cell.parse(arguments.cell), Path()))


@command("schema", "print the JSON schema of the configuration", configured=False)
def _schema(_: argparse.Namespace) -> None:
    say(json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False))
