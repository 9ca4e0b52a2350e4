"""A table's methods in panels: a row per network, a column per measure, means with their intervals over seeds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nern.report.figures.style import COLORS, LINES, MARKERS, plain
from nern.report.statistics import mean_confidence_interval
from nern.report.tables.entries import NAMES

Dress = Callable[[Axes, pd.DataFrame, str], None]
"""Gives a panel, with the rows that it shows and its measure, what the figure's panels have beside their points."""


def groups(
    done: pd.DataFrame, always: str, others: Sequence[str], labels: Mapping[str, str]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The cells of each network, variant, smoothing mode and size, seeds together, and what a legend calls them.

    Args:
        done: the cells, as `nern.report.cells.collect` describes them.
        always: the column that names them: variant or smoothing.
        others: the columns whose values follow where there are several.
        labels: what the table calls a variant, where not by its name.
    """
    named = [always, *(column for column in others if done[column].nunique() > 1)]
    keys = ["network", "variant", "smoothing", "hidden"]
    for (network, variant, smoothing, hidden), part in done.groupby(keys, sort=False):
        texts = {"network": str(network), "variant": labels.get(str(variant), str(variant))}
        texts |= {"smoothing": NAMES.get(str(smoothing), str(smoothing)), "hidden": f"h {hidden}"}
        yield ", ".join(texts[column] for column in named), part


def measured(row: Mapping[str, Any], part: pd.DataFrame, measures: Mapping[str, str]) -> list[dict[str, Any]]:
    """A row of the figure's data for each measure of some cells: `row` with measure, n, mean and half_width."""
    rows = []
    for measure in measures:
        mean, half_width = mean_confidence_interval(part[measure].tolist())
        rows.append({**row, "measure": measure, "n": len(part), "mean": mean, "half_width": half_width})
    return rows


def draw(
    data: pd.DataFrame, measures: Mapping[str, str], across: tuple[str, str], dress: Dress, title: str, note: str
) -> Figure:
    """The panels.

    Args:
        data: columns network, method, measure, mean, half_width and the one across; the methods in their order.
        measures: each with what its axis says.
        across: the column of the horizontal axis, and what that says.
        dress: what else a panel has.
        title: of the figure.
        note: below it.
    """
    networks, methods = list(dict.fromkeys(data["network"])), list(dict.fromkeys(data["method"]))
    figure = Figure(figsize=(8.2, 0.6 + 2.9 * len(networks)))
    grid = figure.subplots(len(networks), len(measures), squeeze=False)
    for row, network in zip(grid, networks, strict=True):
        for axes, (measure, meaning) in zip(row, measures.items(), strict=True):
            part = data[(data["network"] == network) & (data["measure"] == measure)]
            dress(axes, part, measure)
            _points(axes, part, methods, across[0])
            axes.set_title(network)
            axes.set_xlabel(across[1])
            axes.set_ylabel(meaning)
    handles, texts = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, texts, fontsize=8, loc="outside right center")
    figure.suptitle(title, fontsize=10, wrap=True)
    figure.supxlabel(note, fontsize=7, wrap=True)
    return figure


def _points(axes: Axes, data: pd.DataFrame, methods: list[str], column: str) -> None:
    for number, method in enumerate(methods):
        part = data[data["method"] == method].sort_values(column)
        axes.errorbar(
            part[column],
            part["mean"],
            yerr=part["half_width"],
            capsize=3,
            linestyle=LINES[number % len(LINES)],
            color=COLORS[number % len(COLORS)],
            marker=MARKERS[number % len(MARKERS)],
            label=plain(method),
        )
