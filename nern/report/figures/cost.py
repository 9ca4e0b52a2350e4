"""What fits are worth against the seconds that they took: the variants of a table, each a point."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nern.config import Config
from nern.matrix import table_of
from nern.report.figures import panels
from nern.report.figures.cells import bars
from nern.report.figures.style import plain_ticks
from nern.report_settings import TableFigure

MEASURES = {"lost": "points lost", "divergence": "divergence (nats)"}


def frame(config: Config, settings: TableFigure, done: pd.DataFrame) -> pd.DataFrame:
    """Columns network, method, devices, seconds, measure, n, mean, half_width.

    The method is the variant by its label, with smoothing and size where there are several; seconds are the mean of
    what its fits took, tests of a fit's own included.
    """
    labels = table_of(config, settings.table).labels
    data = done.assign(lost=done["original_accuracy"] - done["accuracy"])
    rows: list[dict[str, Any]] = []
    for method, part in panels.groups(data, "variant", ("smoothing", "hidden"), labels):
        row = {"network": part["network"].iloc[0], "method": method}
        row |= {"devices": "; ".join(sorted(set(part["fit_device"]))), "seconds": part["wall_seconds"].mean()}
        rows += panels.measured(row, part, MEASURES)
    return pd.DataFrame(rows)


def draw(data: pd.DataFrame, settings: TableFigure, note: str) -> Figure:
    """A row of panels per network: points lost, and divergence, over seconds."""
    devices = "; ".join(dict.fromkeys(data["devices"]))
    below = f"{note}; {bars(data)}; {devices}"
    return panels.draw(data, MEASURES, ("seconds", "seconds of a fit"), _scales, settings.title, below)


def _scales(axes: Axes, data: pd.DataFrame, measure: str) -> None:
    axes.set_xscale("log")
    plain_ticks(axes.xaxis)
    if measure == "divergence" and (data["mean"] > 0).all():
        axes.set_yscale("log")
        plain_ticks(axes.yaxis)
