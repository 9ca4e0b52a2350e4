"""A frontier as a figure: accuracy and divergence against bytes, a curve a method, and the front."""

from collections import Counter
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nern.report.figures.style import LINES, MARKERS, SAYS, plain, plain_ticks, style, svg
from nern.report.frontier.front import KIB, describe, kibibytes
from nern.report.frontier.points import PREDICTOR, WEIGHTS
from nern.report.tables.entries import NAMES

PANELS = {"accuracy": "test accuracy (%)", "divergence": "divergence from the original (nats)"}
DIVERGENCES = 1e-3, 10.0
"""Ends of the axis. What is nearer to the original is drawn at its foot: a logarithmic axis has no zero. Beyond the top
nothing is left of the network: such points would squeeze the others."""
LEAST_ACCURACY = 30
"""Points below the original's accuracy that the axis shows at most: worse ways would squeeze the others."""
COLORS_OF = {
    "weights": ["#7F7F7F"],
    "weights, distilled": ["#0072B2"],
    "predictor": ["#D55E00", "#CC79A7", "#E69F00", "#009E73"],
}
"""The question is about predictors: they are in warm colors, and what they stand beside is in gray and in blue."""
WIDTHS = {"weights": 0.8, "weights, distilled": 1.2, "predictor": 1.8}
"""Of their curves, in points."""
ABOVE = 1.5, 0.5
"""Points above the original's accuracy, and above the best one, that the axis shows at least."""


def picture(data: pd.DataFrame, title: str) -> str:
    """The figure as SVG for a page; none where nothing is done."""
    if not (data["n"] > 0).any():
        return ""
    with style():
        return svg(draw(data, plain(title)))


def draw(data: pd.DataFrame, title: str) -> Figure:
    """A row of two panels per network. Each point says in a browser what it is."""
    done = data[data["n"] > 0].assign(method=lambda rows: rows.apply(_method, axis=1))
    networks, methods = list(dict.fromkeys(done["network"])), list(dict.fromkeys(done["method"]))
    looks = looks_of(methods)
    figure = Figure(figsize=(11, 1 + 3.6 * len(networks)))
    for row, network in zip(figure.subplots(len(networks), 2, squeeze=False), networks, strict=True):
        part = done[done["network"] == network]
        for axes, (measure, label) in zip(row, PANELS.items(), strict=True):
            _panel(axes, part, measure, looks)
            axes.set_title(network)
            axes.set_xlabel("bytes of the learnable weights (KiB)")
            axes.set_ylabel(label)
    legends = [axes.get_legend_handles_labels() for axes in figure.axes]
    handles = {text: handle for each in legends for handle, text in zip(*each, strict=True)}
    figure.legend(handles.values(), handles.keys(), fontsize=8, loc="outside right center")
    figure.suptitle(title, fontsize=10, wrap=True)
    images = " or ".join(f"{int(count):,}" for count in dict.fromkeys(done["test_images"]))
    figure.supxlabel(
        f"{images} test images; means over seeds, bars: 95 % t-intervals where several; wide gray: the front; "
        f"divergences below {DIVERGENCES[0]:g} at the foot{_unseen(done)}{_missing(data)}",
        fontsize=7,
        wrap=True,
    )
    return figure


def _method(row: pd.Series) -> str:
    """What shares a curve: weights by the kind of codec; predictors by order, variant and whether they are coded."""
    distilled = ", distilled" if row["distilled"] else ""
    if row["stored"] == WEIGHTS:
        return f"weights: {row['kind']}{distilled}"
    order = NAMES.get(row["smoothing"], row["smoothing"])
    coded = "float" if row["kind"] == "float" else f"coded{distilled}"
    return f"predictor, {order}, {row['variant']}: {coded}"


def looks_of(methods: list[str]) -> dict[str, dict[str, Any]]:
    """Color, marker, line and its width of each curve; no two are alike."""
    looks: dict[str, dict[str, Any]] = {}
    counts: Counter[str] = Counter()
    for method in methods:
        distilled = ", distilled" * method.endswith(", distilled")
        family = f"weights{distilled}" if method.startswith("weights") else "predictor"
        number, colors = counts[family], COLORS_OF[family]
        counts[family] += 1
        turn = number // len(MARKERS)  # the markers once more, with other lines
        looks[method] = {
            "color": colors[number % len(colors)],
            "marker": MARKERS[number % len(MARKERS)],
            "linestyle": LINES[(number + turn) % len(LINES)],
            "linewidth": WIDTHS[family],
            "zorder": 3 if family == "predictor" else 2,
        }
    return looks


def _unseen(done: pd.DataFrame) -> str:
    """How many points lie beyond the axes, if any do."""
    worst = int((done["accuracy"] < done["original_accuracy"] - LEAST_ACCURACY).sum())
    texts = [f"{worst} accuracies more than {LEAST_ACCURACY} points below the original's"] * bool(worst)
    far = int((done["divergence"] > DIVERGENCES[1]).sum())
    texts += [f"{far} divergences above {DIVERGENCES[1]:g}"] * bool(far)
    return f"\nnot shown: {' and '.join(texts)}" if texts else ""


def _missing(data: pd.DataFrame) -> str:
    """How many measurements are not there, if any are."""
    missing, every = int((data["seeds"] - data["n"]).sum()), int(data["seeds"].sum())
    return f"\n{missing} of {every} measurements are missing" if missing else ""


def _panel(axes: Axes, data: pd.DataFrame, measure: str, looks: dict[str, dict[str, Any]]) -> None:
    axes.set_xscale("log")
    plain_ticks(axes.xaxis)
    if measure == "divergence":
        low, high = DIVERGENCES
        axes.set_yscale("log")
        axes.set_ylim(low / 1.3, high)
    else:
        original = float(data["original_accuracy"].iloc[0])
        low, high = max(original - LEAST_ACCURACY, 0), max(original + ABOVE[0], data["accuracy"].max() + ABOVE[1])
        axes.axhline(original, color="#000000", linewidth=0.8, label="original")
        axes.set_ylim(low, high)
    shown = data.assign(divergence=data["divergence"].clip(lower=DIVERGENCES[0]))
    front = shown[shown[f"front_{measure}"]].sort_values("bytes")
    axes.plot(front["bytes"] / KIB, front[measure], color="#999999", linewidth=5, alpha=0.35, label="front")
    for method, look in looks.items():
        part = shown[shown["method"] == method].sort_values("bytes")
        # the best of a method for each number of bytes; the rest are points beside the curve
        better = part[measure].cummin() if measure == "divergence" else part[measure].cummax()
        best = part[part[measure] == better]
        inside = part[part[measure].between(low, high)]
        bars = {"yerr": inside[f"{measure}_half_width"], "ecolor": look["color"]}
        axes.errorbar(inside["bytes"] / KIB, inside[measure], fmt="none", alpha=0.5, **bars)
        axes.plot(best["bytes"] / KIB, best[measure], label=method, **look)
        point = look | {"linestyle": "", "alpha": 0.5}
        for index, row in inside.iterrows():
            says = f"{SAYS}{_says(data.loc[index])}"
            axes.plot(row["bytes"] / KIB, row[measure], gid=says, **point)


def _says(row: pd.Series) -> str:
    """What a point is: how it is stored, in how many bytes, and what it is worth."""
    seeds = f", n = {row['n']}" if row["stored"] == PREDICTOR else ""
    worth = f"accuracy {row['accuracy']:.2f} %, divergence {row['divergence']:.4f}"
    return f"{row['network']}, {row['stored']}, {describe(row)}: {kibibytes(row['bytes'])}, {worth}{seeds}"
