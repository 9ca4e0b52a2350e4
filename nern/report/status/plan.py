"""What the matrix costs: cells of each task, and the GPU hours that the paper states for as many of its fits."""

import math
from dataclasses import replace
from typing import Any

import pandas as pd

from nern.config import Config
from nern.matrix import FRONTIER, all_cells, frontier_cells
from nern.provenance import multiplies_bfloat16
from nern.report import published
from nern.report.documents.document import DASH, Column, Grid, Text
from nern.report.documents.markdown import pipe_table
from nern.resolved import names_of, original_of, original_settings, protocol_of

BFLOAT16 = "bfloat16"
COLUMNS = ("task", "originals", "permutations", "fits", "hours_low", "hours_high")


def plan(config: Config) -> pd.DataFrame:
    """One row per task: originals, permutations, fits, and the hours that the paper's fits of that many took.

    The hours are NaN for a task of which the paper states none.
    """
    cells = all_cells(config)
    rows = []
    for task in dict.fromkeys(cell.task for cell in cells):
        of_task = [cell for cell in cells if cell.task == task]
        originals = {original_of(config, cell) for cell in of_task}
        permutations = {(original_of(config, cell), cell.smoothing) for cell in of_task}
        hours = published.hours_per_fit(task)
        low, high = (len(of_task) * each for each in hours) if hours else (float("nan"), float("nan"))
        rows.append((task, len(originals), len(permutations), len(of_task), low, high))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def render(frame: pd.DataFrame) -> str:
    """The frame of `plan` as a Markdown table with a line of sums."""
    counts = ["originals", "permutations", "fits"]
    lines = [[row.task, *(f"{getattr(row, name):,}" for name in counts), _hours(row)] for row in frame.itertuples()]
    if len(frame) > 1:
        hours = frame[["hours_low", "hours_high"]].sum(skipna=False)  # a sum of some tasks' hours is none of all fits
        lines.append(["all", *(f"{frame[name].sum():,}" for name in counts), _hours(hours)])
    columns = [Column("Task", numeric=False), *(Column(name.capitalize()) for name in counts)]
    columns.append(Column("GPU hours of as many of the paper's fits (RTX 3090)"))
    return pipe_table(Grid("", columns, [[Text(value) for value in line] for line in lines], []))


def useless_bfloat16(config: Config) -> str:
    """What says which variants' and originals' 16 bits save no time on this processor; empty if there are none.

    That is known of processors alone. What a GPU does is not asked: that takes torch, and a plan is for a look.
    """
    if config.execution.device.startswith("cuda") or multiplies_bfloat16() is not False:
        return ""
    cells, variants = all_cells(config), []
    originals = dict.fromkeys(original_of(config, cell) for cell in cells)
    if config.compression.original.distilled or config.compression.predictor.distilled:
        compressed = [cell for name in config.frontiers for cell in frontier_cells(config, f"{FRONTIER}{name}")]
        cells += [replace(cell, variant=config.compression.variant) for cell in compressed]
    for cell in {(cell.task, cell.network, cell.variant): cell for cell in cells}.values():
        protocol = protocol_of(config, cell)
        if BFLOAT16 in (protocol.precision, protocol.predictor_precision):
            variants.append(cell.variant)
    sentences = []
    if variants:
        sentences.append(
            f"It is in {names_of(dict.fromkeys(variants))}; a variant that extends one of them does without by "
            "precision: float32 and predictor_precision: float32."
        )
    trained = [each.path for each in originals if original_settings(config, each).recipe.precision == BFLOAT16]
    if trained:
        sentences.append(
            f"{names_of(trained)} {'train' if len(trained) > 1 else 'trains'} in it; a recipe does without by "
            "precision: float32."
        )
    start = "This processor multiplies no 16-bit floats: bfloat16 saves no time on it (docs/performance.md)."
    return " ".join([start, *sentences]) if sentences else ""


def _hours(row: Any) -> str:
    low, high = float(row.hours_low), float(row.hours_high)
    return DASH if math.isnan(low) else f"{low:,.0f}–{high:,.0f}"
