"""One cell in one picture: its losses, its errors by layer, and kernels of both networks."""

import math
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nern import files
from nern.addresses import Cell
from nern.config import Config
from nern.errors import NernError
from nern.report.cells.collect import DONE, current
from nern.report.figures import curves, kernels
from nern.report.figures.style import COLORS, LINES, plain, style
from nern.report.figures.style import write as write_images
from nern.report_settings import KernelsFigure
from nern.resolved import task_of

LOSSES = {"reconstruction": "L_recon", "output": "L_KD", "features": "L_FMD"}


def write(config: Config, cell: Cell, root: Path) -> str:
    """Write `plot.svg` and `plot.png` into a cell's folder; returns their name.

    Raises:
        NernError: the cell is not evaluated, or a file of it is damaged.
    """
    folder = root / cell.path
    state = current(config, [cell], root).iloc[0]
    if state["status"] != DONE:
        reason = f" ({state['message']})" if state["message"] else ""
        raise NernError(
            f"{folder}: is {state['status']}{reason}, so there is nothing to draw; run: nern evaluate {cell.path}"
        )
    metrics, history = files.read_json(folder / "metrics.json"), curves.history(folder / "history.csv")
    layers: dict[str, float] = metrics["layer_rmse"]
    with style():
        figure = Figure(figsize=(8, 9))
        grid = figure.add_gridspec(3, 1, height_ratios=(1, 1, 1.2))
        top, middle, bottom = (figure.add_subfigure(grid[row]) for row in range(3))
        _draw_losses(top.subplots(1, 1), history)
        _draw_layers(middle.subplots(1, 1), layers, metrics["weight_rmse"])
        settings = _some_kernels(cell, len(layers))
        data = kernels.frame(config, settings, cell)
        kernels.squares(bottom, bottom.subplots(1, 2), data, settings.side)
        bottom.suptitle(f"first {settings.side**2} kernels of {list(layers)[settings.layer]}", fontsize=9)
        figure.suptitle(
            f"{cell.path}\n{metrics['accuracy']:.2f} % (original {metrics['original_accuracy']:.2f} %) "
            f"on {metrics['test_images']:,} images: {plain(task_of(config, cell.task).title)}",
            fontsize=9,
            wrap=True,
        )
        write_images(figure, folder, "plot")
    return f"{folder}/plot.svg and .png"


def _some_kernels(cell: Cell, layers: int) -> KernelsFigure:
    """64 kernels of the layer in the middle."""
    return KernelsFigure(
        title="",
        task=cell.task,
        network=cell.network,
        smoothing=cell.smoothing,
        hidden=cell.hidden,
        variant=cell.variant,
        layer=layers // 2,
    )


def _draw_losses(axes: Axes, history: pd.DataFrame) -> None:
    for number, (column, label) in enumerate(LOSSES.items()):
        part = history.dropna(subset=[column])
        part = part[part[column] > 0]
        if not part.empty:
            marker = "." if len(part) < 25 else None
            axes.plot(part["iteration"], part[column], LINES[number], color=COLORS[number], label=label, marker=marker)
    starts = history.groupby("phase", sort=False)["iteration"].min()
    for start in starts[1:]:
        axes.axvline(start, color="#999999", linewidth=0.8)
    axes.set_yscale("log")
    axes.set_xlabel("iteration")
    axes.set_ylabel("loss")
    tests = history.dropna(subset=["test_accuracy"])
    if not tests.empty:
        right = axes.twinx()
        right.plot(tests["iteration"], tests["test_accuracy"], "x", color=COLORS[3], label="test accuracy (%)")
        right.set_ylabel("test accuracy (%)")
        right.set_ylim(0, 100)
        right.grid(visible=False)
    axes.legend(ncols=3)


def _draw_layers(axes: Axes, layers: dict[str, float], whole: float) -> None:
    axes.bar(range(len(layers)), list(layers.values()), color=COLORS[0])
    axes.axhline(whole, color=COLORS[1], linestyle="--", label="all weights")
    step = math.ceil(len(layers) / 30)
    places = range(0, len(layers), step)
    axes.set_xticks(places, [list(layers)[place] for place in places], rotation=60, ha="right", fontsize=6)
    axes.set_ylabel("weight RMSE")
    axes.legend()
