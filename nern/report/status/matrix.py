"""The state of the whole matrix: which cells are done, running, failed, outdated, damaged or missing."""

from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from nern.addresses import COMPRESSION, Cell, OriginalCell, parse_target
from nern.config import Config, fingerprint
from nern.errors import NernError
from nern.matrix import FRONTIER, all_cells, figure_cells, figure_names, frontier_inputs, table_cells
from nern.report.cells import collect
from nern.report.cells.collect import DONE, FAILED, MISSING, OUTDATED, RUNNING
from nern.report.cells.sources import changed_images, changed_weights
from nern.report.documents import formats
from nern.report.frontier.points import compressed
from nern.resolved import fit_settings, original_of

DAMAGED = "damaged"
ORDER = (DONE, RUNNING, FAILED, OUTDATED, DAMAGED, MISSING)


def status(config: Config, root: Path) -> pd.DataFrame:
    """The long frame of every cell that any table or figure needs, and in `tables` which ones those are.

    Figures are among those that have a cell that is in no table: what makes the tables makes the others, too.
    Besides those of `collect` a cell can be damaged: its files are not what a stage writes; `message` says how.

    Args:
        config: the configuration.
        root: the folder that `results/` lies in.
    """
    digests = collect.Digests(root)
    rows: list[dict[str, Any]] = []
    changed: dict[OriginalCell, str] = {}
    for cell in all_cells(config):
        try:
            settings = fit_settings(config, cell)
            row = collect.row(cell, digests, fingerprint(settings))
            original = OriginalCell(cell.task, cell.network, settings.protocol.original)
            if original not in changed:
                changed[original] = _changed(config, original, root)
            row = collect.outdated(row, changed[original])
        except NernError as error:
            row = collect.names_of(cell) | {"status": DAMAGED, "message": str(error)}
        rows.append(row)
    frame = collect.frame_of(collect.of_one_original(rows))
    tables: dict[str, list[str]] = {}
    for name in config.tables:
        for cell in table_cells(config, name):
            tables.setdefault(cell.path, []).append(name)
    of_tables = set(tables)
    for name in figure_names(config):
        paths = [cell.path for cell in figure_cells(config, name)]
        for path in paths if not of_tables.issuperset(paths) else []:
            tables.setdefault(path, []).append(f"figures/{name}")
    frame["tables"] = [", ".join(tables[cell]) for cell in frame["cell"]]
    return frame


def frontiers(config: Config, root: Path) -> dict[str, list[str]]:
    """The state of all that each frontier compares, by the name of its table: done, outdated, damaged or missing.

    Args:
        config: the configuration.
        root: the folder that `results/` lies in.
    """
    names, digests = [f"{FRONTIER}{name}" for name in config.frontiers], collect.Digests(root)
    measured = {name: [p for p in frontier_inputs(config, name) if Path(p).name == COMPRESSION] for name in names}
    changed: dict[OriginalCell, str] = {}
    return {name: [_compressed(config, path, digests, changed) for path in paths] for name, paths in measured.items()}


def _compressed(config: Config, path: str, digests: collect.Digests, changed: dict[OriginalCell, str]) -> str:
    """The state of one compression; `changed` has the originals whose weights or images were looked at."""
    if not (digests.root / path).exists():
        return MISSING
    target = parse_target(str(Path(path).parent))
    original = original_of(config, target) if isinstance(target, Cell) else target
    try:
        if original not in changed:
            changed[original] = _changed(config, original, digests.root)
        return DONE if not changed[original] and compressed(config, target, digests) else OUTDATED
    except NernError:
        return DAMAGED


def _changed(config: Config, original: OriginalCell, root: Path) -> str:
    """Why nothing counts that was made of an original: its weights or images are others; empty if they are not."""
    return changed_weights(config, original, root) or changed_images(config, original.task, root)


def render_frontiers(states: dict[str, list[str]]) -> str:
    """The states of `frontiers` as text: a line of counts for each, behind an empty one; nothing for none."""
    shown = [state for state in ORDER if any(state in each for each in states.values())]
    lines = [[name, *(str(each.count(state)) for state in shown)] for name, each in states.items()]
    return f"\n{_text_table(['compressed', *shown], lines)}" if lines else ""


def render(frame: pd.DataFrame) -> str:
    """The frame of `status` as text: counts per table, a line per entry with a column per seed, and reasons."""
    parts = [_counts(frame), _entries(frame), _reasons(frame)]
    return "\n\n".join(part for part in parts if part)


def _entries(frame: pd.DataFrame) -> str:
    seeds = sorted(set(frame["seed"]))
    lines = []
    for entry, rows in frame.groupby(_entry(frame), sort=False):
        found = {int(row.seed): row for row in rows.itertuples()}
        texts = [_state(found[seed]) if seed in found else "" for seed in seeds]
        lines.append([entry, *texts])
    return _text_table(["accuracy in % (divergence)", *(f"seed {seed}" for seed in seeds)], lines)


def _state(row: Any) -> str:
    return f"{row.accuracy:.2f} ({row.divergence:.4f})" if row.status == DONE else str(row.status)


def _entry(frame: pd.DataFrame) -> Any:
    """What each cell shares with its other seeds, by their path."""
    return frame["cell"].str.removeprefix("results/").str.rsplit("/", n=1).str[0]


def _reasons(frame: pd.DataFrame) -> str:
    """A line for each reason and entry: after a change of settings all seeds have the same one."""
    told = frame[(frame["message"] != "") & (frame["status"] != DONE)]
    lines = []
    for (entry, state, message), rows in told.groupby([_entry(told), "status", "message"], sort=False):
        lines.append(f"{entry}, {formats.seeds([int(seed) for seed in rows['seed']])}: {state}: {message}")
    return "\n".join(lines)


def _counts(frame: pd.DataFrame) -> str:
    names = list(dict.fromkeys(name for tables in frame["tables"] for name in tables.split(", ")))
    shown = [state for state in ORDER if (frame["status"] == state).any()]
    lines = []
    for name in names:
        of_table = frame[[name in tables.split(", ") for tables in frame["tables"]]]["status"].value_counts()
        lines.append([name, *(str(of_table.get(state, 0)) for state in shown)])
    return _text_table(["table", *shown], lines)


def _text_table(headers: list[str], lines: list[list[str]]) -> str:
    align = ["left", *["right"] * (len(headers) - 1)]
    text: str = tabulate(lines, headers=headers, tablefmt="simple", disable_numparse=True, colalign=align)
    return text
