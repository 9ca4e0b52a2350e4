"""Accuracy and agreement against the size of the predictor, by smoothing: a table of sizes (table 1) as a figure."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nern.report.figures import panels
from nern.report.figures.cells import bars
from nern.report_settings import TableFigure

MIB = 2**20
MEASURES = {"accuracy": "test accuracy (%)", "agreement": "agreement with the original (%)"}


def frame(done: pd.DataFrame) -> pd.DataFrame:
    """Columns network, method, hidden, bytes, original, measure, n, mean, half_width.

    The method is the smoothing mode, with the variant where there are several; bytes are those of predictor and
    permutation.
    """
    rows: list[dict[str, Any]] = []
    for method, part in panels.groups(done, "smoothing", ("variant",), {}):
        row = {"network": part["network"].iloc[0], "method": method, "hidden": part["hidden"].iloc[0]}
        row |= {"bytes": part["total_bytes"].iloc[0], "original": part["original_accuracy"].iloc[0]}
        rows += panels.measured(row, part, MEASURES)
    return pd.DataFrame(rows)


def draw(data: pd.DataFrame, settings: TableFigure, note: str) -> Figure:
    """A row of panels per network, a column per measure."""
    shown = data.assign(mebibytes=data["bytes"] / MIB)
    below = f"{note}; {bars(data)}"
    across = ("mebibytes", "predictor and permutation (MiB)")
    return panels.draw(shown, MEASURES, across, _original, settings.title, below)


def _original(axes: Axes, data: pd.DataFrame, measure: str) -> None:
    if measure == "accuracy":
        for number, accuracy in enumerate(data["original"].unique()):
            axes.axhline(accuracy, color="#000000", linewidth=0.8, label="" if number else "original")
