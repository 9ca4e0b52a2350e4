"""Accuracy and agreement against the size of the predictor, by smoothing: a table of sizes (table 1) as a figure."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nern.report.figures.style import COLORS, LINES, MARKERS
from nern.report.statistics import mean_confidence_interval
from nern.report.tables.entries import NAMES
from nern.report_settings import TableFigure

MIB = 2**20
MEASURES = {"accuracy": "test accuracy (%)", "agreement": "agreement with the original (%)"}


def frame(done: pd.DataFrame) -> pd.DataFrame:
    """Columns network, method, hidden, bytes, original, measure, n, mean, half_width.

    The method is the smoothing mode, with the variant where there are several; bytes are those of predictor and
    permutation.
    """
    several = done["variant"].nunique() > 1
    rows = []
    for (network, smoothing, variant, hidden), part in done.groupby(
        ["network", "smoothing", "variant", "hidden"], sort=False
    ):
        method = NAMES.get(str(smoothing), str(smoothing))
        row = {"network": network, "method": f"{method}, {variant}" if several else method, "hidden": hidden}
        row |= {"bytes": part["total_bytes"].iloc[0], "original": part["original_accuracy"].iloc[0]}
        for measure in MEASURES:
            mean, half_width = mean_confidence_interval(part[measure].tolist())
            rows.append(row | {"measure": measure, "n": len(part), "mean": mean, "half_width": half_width})
    return pd.DataFrame(rows)


def draw(data: pd.DataFrame, settings: TableFigure, note: str) -> Figure:
    """A row of panels per network, a column per measure."""
    networks, methods = list(dict.fromkeys(data["network"])), list(dict.fromkeys(data["method"]))
    figure = Figure(figsize=(8.2, 0.6 + 2.9 * len(networks)))
    grid = figure.subplots(len(networks), len(MEASURES), squeeze=False)
    for row, network in zip(grid, networks, strict=True):
        for axes, (measure, title) in zip(row, MEASURES.items(), strict=True):
            part = data[(data["network"] == network) & (data["measure"] == measure)]
            if measure == "accuracy":
                axes.axhline(part["original"].iloc[0], color="#000000", linewidth=0.8, label="original")
            _panel(axes, part, methods)
            axes.set_title(network)
            axes.set_xlabel("predictor and permutation (MiB)")
            axes.set_ylabel(title)
    handles, texts = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, texts, fontsize=8, loc="outside right center")
    figure.suptitle(settings.title, fontsize=10)
    figure.supxlabel(f"{note}; bars: 95 % t-intervals over seeds", fontsize=7)
    return figure


def _panel(axes: Axes, data: pd.DataFrame, methods: list[str]) -> None:
    for number, method in enumerate(methods):
        part = data[data["method"] == method].sort_values("bytes")
        style = {"color": COLORS[number % len(COLORS)], "linestyle": LINES[number % len(LINES)]}
        axes.errorbar(
            part["bytes"] / MIB,
            part["mean"],
            yerr=part["half_width"],
            capsize=3,
            marker=MARKERS[number % len(MARKERS)],
            label=method,
            **style,
        )
