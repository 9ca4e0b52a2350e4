"""What the matrix costs: cells of each task, and GPU hours at the speed that the paper states."""

import math
from typing import Any

import pandas as pd

from nern.config import Config
from nern.matrix import all_cells, original_of
from nern.report import published
from nern.report.documents.document import DASH, Column, Grid, Text
from nern.report.documents.markdown import pipe_table

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
        lines.append(["all", *(f"{frame[name].sum():,}" for name in counts), _hours(frame.dropna().sum())])
    columns = [Column("Task", numeric=False), *(Column(name.capitalize()) for name in counts)]
    columns.append(Column("GPU hours at the paper's speed (RTX 3090)"))
    return pipe_table(Grid("", columns, [[Text(value) for value in line] for line in lines], []))


def _hours(row: Any) -> str:
    low, high = float(row.hours_low), float(row.hours_high)
    return DASH if math.isnan(low) or high == 0 else f"{low:,.0f}–{high:,.0f}"
