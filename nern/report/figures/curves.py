"""Figure 4: training curves of the loss ablation, mean and 95 % band over seeds."""

import io
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from nern.config import Config
from nern.errors import NernError
from nern.matrix import table_of
from nern.report.figures.style import COLORS, LINES
from nern.report.statistics import mean_confidence_interval
from nern.report_settings import TableFigure

MEASURES = {"test_accuracy": "test accuracy (%)", "reconstruction": "L_recon (weight RMSE)"}
UNEQUAL = 5
"""Fits that are so many times as long as others get a logarithmic axis: a linear one would hide the short ones."""


def frame(config: Config, settings: TableFigure, done: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Columns variant, label, iteration, measure, n, mean, half_width."""
    labels = table_of(config, settings.table).labels
    rows = []
    for variant, cells in done.groupby("variant", sort=False):
        histories = pd.concat([history(root / cell / "history.csv") for cell in cells["cell"]])
        for measure in MEASURES:
            for iteration, values in histories.groupby("iteration")[measure]:
                present = values.dropna().tolist()
                if present:
                    mean, half_width = mean_confidence_interval(present)
                    row = {"variant": variant, "label": labels.get(str(variant), variant), "iteration": iteration}
                    rows.append(row | {"measure": measure, "n": len(present), "mean": mean, "half_width": half_width})
    return pd.DataFrame(rows)


def history(path: Path) -> pd.DataFrame:
    """A fit's history.csv; NernError if it is none."""
    try:
        return pd.read_csv(io.StringIO(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise NernError(f"{path}: is no history of a fit ({error}); run its fit again") from None


def draw(data: pd.DataFrame, settings: TableFigure, note: str) -> Figure:
    """Accuracy above, if there were tests, and reconstruction loss below."""
    measures = {measure: title for measure, title in MEASURES.items() if (data["measure"] == measure).any()}
    figure = Figure(figsize=(8.2, 3 * len(measures)))
    panels = figure.subplots(len(measures), 1, sharex=True, squeeze=False)[:, 0]
    variants = list(dict.fromkeys(data["variant"]))
    for axes, (measure, title) in zip(panels, measures.items(), strict=True):
        for number, variant in enumerate(variants):
            part = data[(data["variant"] == variant) & (data["measure"] == measure)].sort_values("iteration")
            if part.empty:
                continue
            line = {"color": COLORS[number % len(COLORS)], "linestyle": LINES[number % len(LINES)]}
            marker = "." if len(part) < 25 else None
            label = f"{part['label'].iloc[0]} (n = {part['n'].max()})"
            axes.plot(part["iteration"], part["mean"], label=label, marker=marker, **line)
            low, high = part["mean"] - part["half_width"], part["mean"] + part["half_width"]
            axes.fill_between(part["iteration"], low, high, color=line["color"], alpha=0.15, linewidth=0)
        axes.set_ylabel(title)
        means = data[data["measure"] == measure]["mean"]
        if measure == "test_accuracy":
            axes.set_ylim(0, 100)
        elif (means > 0).all():
            axes.set_yscale("log")
            # a band may reach below zero, and a single step of one fit far up
            axes.set_ylim(0.8 * means.min(), 1.25 * means.max())
    lengths = data.groupby("variant")["iteration"].max()
    if lengths.max() > UNEQUAL * lengths.min():
        panels[-1].set_xscale("log")
    panels[-1].set_xlabel("iteration")
    panels[0].set_title(settings.title)
    handles, texts = panels[-1].get_legend_handles_labels()
    figure.legend(handles, texts, fontsize=8, loc="outside right center")
    figure.supxlabel(f"{note}; bands: 95 % t-intervals over seeds", fontsize=7)
    return figure
