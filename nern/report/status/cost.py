"""What the matrix costs on this machine: every distinct kind of fit timed by a few steps, and the sums."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from nern.addresses import Cell
from nern.config import Config, fingerprint
from nern.errors import NernError
from nern.matrix import FRONTIER, all_cells, frontier_cells, table_cells
from nern.method.workers import Workers
from nern.report import published
from nern.report.cells.collect import DONE
from nern.report.documents.document import DASH, Column, Grid, Text
from nern.report.documents.markdown import pipe_table
from nern.report.status.matrix import status
from nern.resolved import names_of, protocol_of
from nern.stages.cost import fit_seconds, image_shape, untrained
from nern.stages.runtime import device_name, start_in_pieces

log = logging.getLogger(__name__)

HOURS = "hours here"
PAPER = "hours of as many of the paper's fits (RTX 3090)"
NO_DIFFERENCE = {"original": "", "initialization": "default", "inputs": "images", "evaluate_every": 0}
"""What of a protocol changes no step's time, with one value for all."""

Kind = tuple[str, str, int, str]
"""Task, network, hidden size, and all of the protocol that changes a step's time."""


def kind_of(config: Config, cell: Cell) -> Kind:
    """The kind of a cell: cells of one kind take equally long."""
    protocol = protocol_of(config, cell).model_copy(update=NO_DIFFERENCE)
    return cell.task, cell.network, cell.hidden, fingerprint(protocol)


def timer(config: Config, device: torch.device, workers: Workers) -> Callable[[Cell], float]:
    """What measures a cell: seconds of its fit by a few steps of an untrained network on noise."""

    def seconds(cell: Cell) -> float:
        found = fit_seconds(config, cell, untrained(config, cell), image_shape(config, cell.task), device, workers)
        log.info("%s: %s hours", cell.path, _number(found / 3600))
        return found

    return seconds


def hours_of(config: Config, cells: list[Cell], seconds: Callable[[Cell], float]) -> dict[Cell, float]:
    """Hours of the fit of each cell; each kind is measured once."""
    kinds: dict[Kind, float] = {}
    for cell in cells:
        kind = kind_of(config, cell)
        if kind not in kinds:
            kinds[kind] = seconds(cell) / 3600
    return {cell: kinds[kind_of(config, cell)] for cell in cells}


def measured(config: Config, root: Path, table: str | None) -> str:
    """Both tables as Markdown: what each fit of the matrix costs, or of one table, and what they cost together.

    Raises:
        NernError: the table is unknown, or the size of a task's images is.
    """
    parts = _parts(config)
    if table is not None:
        if table not in parts:
            raise NernError(f"unknown table {table!r}: those with fits are {names_of(parts)}")
        parts = {table: parts[table]}
    cells = list(dict.fromkeys(cell for of in parts.values() for cell in of))
    for task in dict.fromkeys(cell.task for cell in cells):
        image_shape(config, task)  # before anything is timed
    device, workers = start_in_pieces(config.execution, config.execution.threads.fit)
    hours = hours_of(config, cells, timer(config, device, workers))
    frame = status(config, root)
    done = set(frame.loc[frame["status"] == DONE, "cell"])
    note = (
        f"On {device_name(device)}, {workers.threads} CPU thread(s) a fit, one fit after another; iterations alone, "
        "without originals, permutations, tests, what is distilled while coded, and the reading of images."
    )
    return "\n\n".join([fits(hours), sums(parts, hours, done), note])


def _parts(config: Config) -> dict[str, list[Cell]]:
    """The cells of each table and frontier, and of all."""
    tables = {name: table_cells(config, name) for name in config.tables}
    frontiers = {f"{FRONTIER}{name}": frontier_cells(config, f"{FRONTIER}{name}") for name in config.frontiers}
    return tables | frontiers | {"all": all_cells(config)}


def fits(hours: Mapping[Cell, float]) -> str:
    """A line for each fit of another kind: seeds, orders and originals make no difference."""
    lines = {(c.task, c.network, str(c.hidden), c.variant): (each, papers([c])) for c, each in hours.items()}
    names = ("task", "network", "hidden", "variant")
    return _table(names, [HOURS, PAPER], [[*key, _number(here), paper] for key, (here, paper) in lines.items()])


def sums(parts: Mapping[str, list[Cell]], hours: Mapping[Cell, float], done: set[str]) -> str:
    """A line for each table: its fits, and those that are not done, with the hours of either."""
    lines = []
    for name, cells in parts.items():
        missing = [cell for cell in cells if cell.path not in done]
        both = [_number(sum(hours[cell] for cell in of)) for of in (cells, missing)]
        lines.append([name, f"{len(cells):,}", both[0], f"{len(missing):,}", both[1], papers(cells)])
    return _table(["table"], ["fits", HOURS, "not done", f"their {HOURS}", PAPER], lines)


def papers(cells: list[Cell]) -> str:
    """The hours that the paper's fits of as many cells took, from low to high; a dash where it states none."""
    stated = [published.hours_per_fit(cell.task) for cell in cells]
    known = [each for each in stated if each is not None]
    if len(known) < len(stated) or not known:
        return DASH
    return f"{sum(low for low, _ in known):,.0f}–{sum(high for _, high in known):,.0f}"


def _table(texts: tuple[str, ...] | list[str], numbers: list[str], lines: list[list[str]]) -> str:
    columns = [Column(name.capitalize(), numeric=False) for name in texts]
    columns += [Column(name[0].upper() + name[1:]) for name in numbers]
    return pipe_table(Grid("", columns, [[Text(value) for value in line] for line in lines], []))


def _number(hours: float) -> str:
    """Three digits, without an exponent."""
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}" if hours >= 0.001 else f"{hours:.5f}"
