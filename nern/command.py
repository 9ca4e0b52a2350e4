"""What a subcommand is made of: a function under `@command`, in the module `commands` of the room whose work it starts.

Imports nothing heavy, and neither do those modules: `nern --help` imports them all.
"""

import argparse
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nern.config import Config, read

ROOMS = ("init", "stages", "report")
"""Where commands are, in the order of `nern --help`."""
Option = Callable[[argparse.ArgumentParser], object]
"""Adds an argument, or several, to a command line."""
Handler = Callable[[argparse.Namespace], int | None]
"""Runs a command by its arguments; its exit code, None for 0."""


@dataclass(frozen=True)
class Command:
    """A subcommand: what the user types, what it does in a line, its arguments, and what runs it."""

    name: str
    text: str
    options: tuple[Option, ...]
    run: Handler


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(prog="nern", description="Subcommands, each with a --help.", allow_abbrev=False)
    commands = found.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for room in ROOMS:
        for each in vars(importlib.import_module(f"nern.{room}.commands")).values():
            if isinstance(each, Command):
                line = commands.add_parser(each.name, help=each.text, description=each.text, allow_abbrev=False)
                line.set_defaults(handler=each.run)
                for add in each.options:
                    add(line)
    return found


def command(name: str, text: str, *options: Option, configured: bool = True) -> Callable[[Handler], Command]:
    """Make a function a subcommand, which takes --config if it is configured."""
    return lambda run: Command(name, text, (*([CONFIG] if configured else []), *options), run)


def option(*names: str, **settings: object) -> Option:
    """An argument, as argparse's `add_argument` takes it."""
    return lambda parser: parser.add_argument(*names, **settings)  # type: ignore[arg-type]


def positive(text: str) -> int:
    """A whole number from 1, as the type of an argument."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 is needed, not {text!r}")
    return int(text)


_CELL = "results/<task>/<network>/<smoothing>/h<hidden>/<variant>/seed<k>"
_ORIGINAL = "results/<task>/<network>/originals/<name>"
CELL = option("cell", metavar="CELL", help=_CELL)
ORIGINAL = option("original", metavar="ORIGINAL", help=_ORIGINAL)
TARGET = option("path", metavar="CELL|ORIGINAL", help=f"{_CELL} or {_ORIGINAL}")
THREADS = option("--threads", type=positive, metavar="N", help="CPU threads (default: as configured)")
CONFIG = option(
    "--config",
    nargs="+",
    action="extend",
    type=Path,
    metavar="FILE",
    help="configuration files; of two settings the later wins (default: config.yaml)",
)


def configuration(arguments: argparse.Namespace) -> Config:
    """The configuration that a command is given, with its threads; NernError if any cell of it cannot be resolved."""
    from nern import compression, matrix

    config = read(arguments.config or [Path("config.yaml")])
    if getattr(arguments, "threads", None):
        stage = {"compress": "evaluate", "importance": "evaluate"}.get(arguments.command, arguments.command)
        threads = config.execution.threads.model_copy(update={stage.replace("-", "_"): arguments.threads})
        config = config.model_copy(update={"execution": config.execution.model_copy(update={"threads": threads})})
    matrix.check(config)
    compression.check(config)
    return config
