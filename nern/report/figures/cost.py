"""What fits are worth against the seconds that they took: the variants of a table, each a point."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nern.config import Config
from nern.matrix import table_of
from nern.report.figures.style import COLORS, MARKERS, plain_ticks
from nern.report.statistics import mean_confidence_interval
from nern.report.tables.entries import NAMES
from nern.report_settings import TableFigure

MEASURES = {"lost": "points lost", "divergence": "divergence (nats)"}


def frame(config: Config, settings: TableFigure, done: pd.DataFrame) -> pd.DataFrame:
    """Columns network, method, devices, seconds, measure, n, mean, half_width.

    The method is the variant by its label, with smoothing and size where there are several; seconds are the mean of
    what its fits took, tests of a fit's own included.
    """
    labels = table_of(config, settings.table).labels
    several = [column for column in ("smoothing", "hidden") if done[column].nunique() > 1]
    data = done.assign(lost=done["original_accuracy"] - done["accuracy"])
    rows = []
    for (network, variant, smoothing, hidden), part in data.groupby(
        ["network", "variant", "smoothing", "hidden"], sort=False
    ):
        extra = {"smoothing": NAMES.get(str(smoothing), str(smoothing)), "hidden": f"h {hidden}"}
        method = ", ".join([labels.get(str(variant), str(variant)), *(extra[column] for column in several)])
        row = {"network": network, "method": method, "devices": "; ".join(sorted(set(part["fit_device"])))}
        row["seconds"] = part["wall_seconds"].mean()
        for measure in MEASURES:
            mean, half_width = mean_confidence_interval(part[measure].tolist())
            rows.append(row | {"measure": measure, "n": len(part), "mean": mean, "half_width": half_width})
    return pd.DataFrame(rows)


def draw(data: pd.DataFrame, settings: TableFigure, note: str) -> Figure:
    """A row of panels per network: points lost, and divergence, over seconds."""
    networks, methods = list(dict.fromkeys(data["network"])), list(dict.fromkeys(data["method"]))
    figure = Figure(figsize=(8.2, 0.6 + 2.9 * len(networks)))
    grid = figure.subplots(len(networks), len(MEASURES), squeeze=False)
    for row, network in zip(grid, networks, strict=True):
        for axes, (measure, title) in zip(row, MEASURES.items(), strict=True):
            part = data[(data["network"] == network) & (data["measure"] == measure)]
            _panel(axes, part, methods)
            axes.set_xscale("log")
            plain_ticks(axes.xaxis)
            if measure == "divergence" and (part["mean"] > 0).all():
                axes.set_yscale("log")
                plain_ticks(axes.yaxis)
            axes.set_title(network)
            axes.set_xlabel("seconds of a fit")
            axes.set_ylabel(title)
    handles, texts = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, texts, fontsize=8, loc="outside right center")
    figure.suptitle(settings.title, fontsize=10)
    devices = "; ".join(dict.fromkeys(data["devices"]))
    figure.supxlabel(f"{note}; bars: 95 % t-intervals over seeds; {devices}", fontsize=7)
    return figure


def _panel(axes: Axes, data: pd.DataFrame, methods: list[str]) -> None:
    for number, method in enumerate(methods):
        part = data[data["method"] == method]
        axes.errorbar(
            part["seconds"],
            part["mean"],
            yerr=part["half_width"],
            capsize=3,
            linestyle="none",
            color=COLORS[number % len(COLORS)],
            marker=MARKERS[number % len(MARKERS)],
            label=method,
        )
