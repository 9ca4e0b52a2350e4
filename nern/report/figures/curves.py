"""Figure 4: training curves of the loss ablation, mean and 95 % band over seeds."""

import io
import math
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from nern import files
from nern.addresses import Cell
from nern.config import Config
from nern.errors import NernError
from nern.matrix import table_of
from nern.report.figures import panels
from nern.report.figures.style import COLORS, LINES, plain
from nern.report.statistics import mean_confidence_interval
from nern.report_settings import TableFigure
from nern.resolved import protocol_of

MEASURES = {"test_accuracy": "test accuracy (%)", "reconstruction": "L_recon (weight RMSE)"}
GROUP = ("network", "smoothing", "hidden", "variant")
"""What the fits of one curve share: they differ by the seed alone."""
FLOAT_BYTES = 4
UNEQUAL = 5
"""Fits that are so many times as long as others get a logarithmic axis: a linear one would hide the short ones."""


def frame(config: Config, settings: TableFigure, done: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Columns network, smoothing, hidden, variant, label, iteration, measure, n, mean, half_width.

    The label is the variant's, with network, smoothing and size where there are several.
    """
    labels = table_of(config, settings.table).labels
    rows = []
    for label, cells in panels.groups(done, "variant", GROUP[:-1], labels):
        names = cells.iloc[0][list(GROUP)].to_dict() | {"label": label}
        histories = pd.concat([_in_rmse(config, fit, root) for fit in cells.to_dict("records")])
        for measure in MEASURES:
            for iteration, values in histories.groupby("iteration")[measure]:
                present = values.dropna().tolist()
                if present:
                    mean, half_width = mean_confidence_interval(present)
                    row = names | {"iteration": iteration, "measure": measure, "n": len(present)}
                    rows.append(row | {"mean": mean, "half_width": half_width})
    if not rows:
        raise NernError(
            f"figures.loss_curves: no fit of tables.{settings.table} was tested or has L_recon, so there is no curve; "
            "set protocol.evaluate_every, or remove the figure"
        )
    return pd.DataFrame(rows)


def _in_rmse(config: Config, fit: dict[Hashable, Any], root: Path) -> pd.DataFrame:
    """A fit's history, with L_recon as the RMSE of the weights where the text's form was minimized, ‖W − Ŵ‖₂ / |W|."""
    found = history(root / fit["cell"] / "history.csv")
    protocol = protocol_of(config, Cell.parse(fit["cell"]))
    for phase, of in (("training", protocol.training), ("distillation", protocol.distillation)):
        if of is not None and of.losses.form == "text":
            rows = found["phase"] == phase
            found.loc[rows, "reconstruction"] *= math.sqrt(fit["learnable_bytes"] / FLOAT_BYTES)
    return found


def history(path: Path) -> pd.DataFrame:
    """A fit's history.csv; NernError if it is none, or not the one that the fit wrote."""
    try:
        found = pd.read_csv(io.StringIO(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise NernError(f"{path}: is no history of a fit ({error}); run its fit again") from None
    outputs = files.read_json(path.with_name("fit.json")).get("outputs")
    if not isinstance(outputs, dict) or outputs.get(path.name) != files.sha256(path):
        raise NernError(f"{path}: is not the file that fit.json records; run its fit again")
    return found


def draw(data: pd.DataFrame, settings: TableFigure, note: str) -> Figure:
    """Accuracy above, if there were tests, and reconstruction loss below."""
    measures = {measure: title for measure, title in MEASURES.items() if (data["measure"] == measure).any()}
    figure = Figure(figsize=(8.2, 3 * len(measures)))
    every = figure.subplots(len(measures), 1, sharex=True, squeeze=False)[:, 0]
    curves = [curve for _, curve in data.groupby(list(GROUP), sort=False)]
    for axes, (measure, title) in zip(every, measures.items(), strict=True):
        for number, curve in enumerate(curves):
            part = curve[curve["measure"] == measure].sort_values("iteration")
            if part.empty:
                continue
            line = {"color": COLORS[number % len(COLORS)], "linestyle": LINES[number % len(LINES)]}
            marker = "." if len(part) < 25 else None
            label = f"{plain(part['label'].iloc[0])} (n = {part['n'].max()})"
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
    lengths = [curve["iteration"].max() for curve in curves]
    if max(lengths) > UNEQUAL * min(lengths):
        every[-1].set_xscale("log")
    every[-1].set_xlabel("iteration")
    every[0].set_title(settings.title, wrap=True)
    handles, texts = every[-1].get_legend_handles_labels()
    figure.legend(handles, texts, fontsize=8, loc="outside right center")
    figure.supxlabel(f"{note}; bands: 95 % t-intervals over seeds", fontsize=7, wrap=True)
    return figure
