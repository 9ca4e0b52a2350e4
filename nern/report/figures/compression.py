"""Figure 5a: accuracy and stored bytes of pruned predictors against sparsity."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from nern.report.figures.cells import beside, predictor_digests
from nern.report.figures.style import COLORS, LINES, MARKERS
from nern.report.statistics import mean_confidence_interval
from nern.report_settings import PruningFigure

KIB = 1024


def frame(done: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Columns sparsity, n, accuracy and half_width (per cent), bytes (mean over seeds)."""
    digests = predictor_digests(root, done["cell"].tolist())
    points = [point for cell, sha in digests.items() for point in beside(root, cell, "pruning.json", sha)["points"]]
    rows = []
    for sparsity, part in pd.DataFrame(points).groupby("sparsity"):
        mean, half_width = mean_confidence_interval(part["accuracy"].tolist())
        row = {"sparsity": sparsity, "n": len(part), "accuracy": mean, "half_width": half_width}
        rows.append(row | {"bytes": part["bytes"].mean()})
    return pd.DataFrame(rows)


def draw(data: pd.DataFrame, settings: PruningFigure, note: str) -> Figure:
    """Two panels over one axis: a second scale in one panel is easily misread."""
    figure = Figure(figsize=(6, 4.6))
    above, below = figure.subplots(2, 1, sharex=True)
    percent = 100 * data["sparsity"]
    above.errorbar(percent, data["accuracy"], yerr=data["half_width"], capsize=3, color=COLORS[0], marker=MARKERS[0])
    above.set_ylabel("test accuracy (%)")
    above.set_title(f"{settings.title}: {settings.network}, {settings.smoothing}, h = {settings.hidden}")
    below.plot(percent, data["bytes"] / KIB, color=COLORS[1], linestyle=LINES[1], marker=MARKERS[1])
    below.set_ylabel("stored predictor (KiB)")
    below.set_ylim(bottom=0)
    below.set_xlabel("weights set to zero (%)")
    figure.supxlabel(f"{note}; bars: 95 % t-intervals over seeds", fontsize=7)
    return figure
