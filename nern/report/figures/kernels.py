"""Figure 6: a square of kernels of one layer, original and reconstructed, in the order of their coordinates."""

import itertools
from collections.abc import Iterable

import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from nern.addresses import Cell
from nern.config import Config
from nern.errors import NernError
from nern.method.workers import Workers
from nern.report.figures.cells import subject
from nern.report_settings import KernelsFigure
from nern.stages.reconstruct import load_fitted

VERSIONS = ("original", "reconstructed")


def frame(config: Config, settings: KernelsFigure, cell: Cell) -> pd.DataFrame:
    """Columns version, position, row, column, value of the layer's first side² kernels, along its permutation."""
    fitted = load_fitted(config, cell)
    names = fitted.original.layers
    if settings.layer >= len(names):
        raise NernError(f"figures.kernels.layer: {settings.layer}, but {cell.network} has layers 0 to {len(names) - 1}")
    order = fitted.permutation.orders[settings.layer][: settings.side**2]
    ours = fitted.weights(torch.device("cpu"), Workers())[settings.layer]
    rows, places = [], list(itertools.product(*map(range, ours.shape[2:])))
    for version, weight in zip(VERSIONS, (fitted.original.weights[settings.layer], ours), strict=True):
        for position, kernel in enumerate(weight.flatten(0, 1)[order]):
            rows += [[version, position, *place, kernel[place].item()] for place in places]
    return pd.DataFrame(rows, columns=["version", "position", "row", "column", "value"])


def draw(data: pd.DataFrame, settings: KernelsFigure, note: str) -> Figure:
    """Two squares."""
    figure = Figure(figsize=(7, 3.9))
    squares(figure, figure.subplots(1, 2, gridspec_kw={"wspace": 0.12}), data, settings.side)
    figure.suptitle(f"{settings.title}: {subject(settings)}", fontsize=10, wrap=True)
    figure.supxlabel(note, fontsize=7, wrap=True)
    return figure


def squares(figure: Figure | SubFigure, panels: Iterable[Axes], data: pd.DataFrame, side: int) -> None:
    """Draw the kernels of `frame` into two panels, original and reconstructed, with one scale; white is zero.

    The scale ends at the 99th percentile: a few large weights would leave all others pale.
    """
    height, width = data["row"].max() + 1, data["column"].max() + 1
    limit = data["value"].abs().quantile(0.99) or data["value"].abs().max() or 1.0
    for axes, version in zip(panels, VERSIONS, strict=True):
        canvas = torch.full((side * (height + 1) - 1, side * (width + 1) - 1), float("nan"))
        part = data[data["version"] == version]
        for position, row, column, value in part[["position", "row", "column", "value"]].itertuples(index=False):
            down, right = divmod(position, side)
            canvas[down * (height + 1) + row, right * (width + 1) + column] = value
        image = axes.imshow(canvas.numpy(), cmap="PuOr", vmin=-limit, vmax=limit, interpolation="nearest")
        axes.set_title(version)
        axes.set_axis_off()
    figure.colorbar(image, ax=list(panels), shrink=0.8, extend="both")
