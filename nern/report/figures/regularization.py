"""Figure 3: accuracy of original and reconstructed network against the factor λ of the smoothness regularization."""

import pandas as pd
from matplotlib.figure import Figure

from nern.config import Config, fingerprint
from nern.matrix import Cell, original_of, original_settings
from nern.report.figures.style import COLORS, LINES, MARKERS
from nern.report.statistics import mean_confidence_interval
from nern.report_settings import TableFigure


def frame(config: Config, done: pd.DataFrame) -> pd.DataFrame:
    """Columns network, hidden, lambda, original, n, accuracy and half_width (per cent), fingerprint of the original."""
    rows = []
    for (network, hidden, _), part in done.groupby(["network", "hidden", "variant"], sort=False):
        cell = Cell.parse(part["cell"].iloc[0])
        original = original_settings(config, original_of(config, cell))
        mean, half_width = mean_confidence_interval(part["accuracy"].tolist())
        row = {"network": network, "hidden": hidden, "lambda": original.recipe.smoothness}
        row |= {"original": part["original_accuracy"].iloc[0], "n": len(part), "accuracy": mean}
        rows.append(row | {"half_width": half_width, "original_fingerprint": fingerprint(original)})
    return pd.DataFrame(rows)


def draw(data: pd.DataFrame, settings: TableFigure, note: str) -> Figure:
    """λ on an axis of equal steps: it has a zero."""
    figure = Figure(figsize=(6, 3.6))
    axes = figure.subplots()
    factors = sorted(set(data["lambda"]))
    places = {factor: place for place, factor in enumerate(factors)}
    originals = data.drop_duplicates("lambda").sort_values("lambda")
    axes.plot(
        [places[f] for f in originals["lambda"]], originals["original"], color="#000000", marker="x", label="original"
    )
    for number, ((network, hidden), part) in enumerate(data.groupby(["network", "hidden"], sort=False)):
        part = part.sort_values("lambda")
        axes.errorbar(
            [places[f] for f in part["lambda"]],
            part["accuracy"],
            yerr=part["half_width"],
            capsize=3,
            color=COLORS[number],
            linestyle=LINES[number + 1],
            marker=MARKERS[number],
            label=f"{network}, h = {hidden}",
        )
    axes.set_xticks(range(len(factors)), [f"{factor:g}" for factor in factors])
    axes.set_xlabel("λ")
    axes.set_ylabel("test accuracy (%)")
    axes.set_title(settings.title)
    axes.legend(loc="best")
    figure.supxlabel(f"{note}; bars: 95 % t-intervals over seeds", fontsize=7)
    return figure
