"""From a figure's name to its files: `<name>.csv` with what is shown, `.svg` and `.png`."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from nern.config import Config
from nern.errors import NernError
from nern.matrix import figure_cells, figure_inputs, figure_settings
from nern.report import partial
from nern.report.cells.collect import write_csv
from nern.report.figures import (
    compression,
    cost,
    curves,
    frontier,
    importance,
    kernels,
    learned,
    regularization,
    similarity,
    tradeoff,
)
from nern.report.figures.cells import done_cells
from nern.report.figures.style import plain, style
from nern.report.figures.style import write as write_images
from nern.report.frontier.front import points_with_fronts
from nern.report_settings import (
    CellsFigure,
    EmbeddingFigure,
    FitFigure,
    Frontier,
    ImportanceFigure,
    KernelsFigure,
    PruningFigure,
    TableFigure,
)
from nern.stages.reconstruct import load_fitted


def write(config: Config, name: str, root: Path, out: Path) -> None:
    """Write one figure of the configuration; while files that it is made of are missing, as `<name>.partial.…`.

    Args:
        config: the configuration that has the figure.
        name: of the figure.
        root: the folder that `results/` lies in.
        out: the folder for the files.

    Raises:
        NernError: the figure is unknown, none of its cells is done, or a file is damaged.
    """
    with style():
        data, figure = build(config, name, root)
        stem = partial.stem(name, figure_inputs(config, name), root, partial.absent(data))
        write_csv(out / f"{stem}.csv", data)
        write_images(figure, out, stem)
        partial.replace(out, stem)


def build(config: Config, name: str, root: Path) -> tuple[pd.DataFrame, Figure]:
    """What a figure shows, and the figure itself; arguments and errors as of `write`."""
    settings = figure_settings(config, name)
    assert isinstance(settings, EmbeddingFigure | CellsFigure | TableFigure | Frontier)
    settings = settings.model_copy(update={"title": plain(settings.title)})
    if isinstance(settings, EmbeddingFigure):
        data = similarity.frame(settings)
        return data, similarity.draw(data, settings)
    if isinstance(settings, Frontier):
        data = points_with_fronts(config, name, root)
        if not (data["n"] > 0).any():
            raise NernError(f"figures.{name}: nothing of it is compressed; run: snakemake figures/{name}.svg")
        return data, frontier.draw(data, settings.title)
    done, note = done_cells(config, name, root)
    data, figure = _of_cells(config, name, settings, root, done, plain(note))
    data.attrs[partial.ABSENT] = len(figure_cells(config, name)) - len(done)
    return data, figure


def _of_cells(
    config: Config, name: str, settings: CellsFigure | TableFigure, root: Path, done: pd.DataFrame, note: str
) -> tuple[pd.DataFrame, Figure]:
    """`build` of a figure that shows cells: those that are done, and the line below it."""
    if isinstance(settings, PruningFigure):
        data = compression.frame(config, settings, done, root)
        return data, compression.draw(data, settings, note)
    if isinstance(settings, ImportanceFigure):
        data = importance.frame(settings, done, root)
        return data, importance.draw(data, settings, note)
    if isinstance(settings, KernelsFigure):
        data = kernels.frame(config, settings, figure_cells(config, name)[0])
        return data, kernels.draw(data, settings, note)
    if isinstance(settings, FitFigure):
        data = learned.frame(load_fitted(config, figure_cells(config, name)[0]).predictor)
        return data, learned.draw(data, settings, note)
    assert isinstance(settings, TableFigure)
    if name == "loss_curves":
        data = curves.frame(config, settings, done, root)
        return data, curves.draw(data, settings, note)
    if name == "size_tradeoff":
        data = tradeoff.frame(done)
        return data, tradeoff.draw(data, settings, note)
    if name == "cost_tradeoff":
        data = cost.frame(config, settings, done)
        return data, cost.draw(data, settings, note)
    data = regularization.frame(config, done)
    return data, regularization.draw(data, settings, note)
