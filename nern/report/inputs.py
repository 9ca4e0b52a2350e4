"""What tables and figures are made of. The Snakefile asks, so nothing heavy is imported."""

from pathlib import Path

from nern import files
from nern.addresses import Cell
from nern.config import Config, fingerprint
from nern.matrix import COMPUTED_TABLES, FRONTIER, figure_settings, frontier_inputs, frontier_of, table_cells, table_of
from nern.report import published
from nern.report.comparable import LAMBDA_TABLE, comparable_cells, loss_cells
from nern.report_settings import CellsFigure, Frontier, TableFigure
from nern.resolved import task_of
from nern.settings import Settings

_PUBLISHED = Path(published.__file__).with_suffix(".csv")


class _Shown(Settings):
    """What is shown besides the numbers of cells: settings, what the data are called, and published figures."""

    settings: list[dict[str, object]]
    title: str = ""
    note: str = ""
    published_sha256: str = ""


def table_inputs(config: Config, name: str) -> list[str]:
    """The files that a table is made of; NernError with the known names if there is no such table."""
    return frontier_inputs(config, name) if name.startswith(FRONTIER) else metrics_of(_cells(config, name))


def _cells(config: Config, name: str) -> list[Cell]:
    if name == "summary":
        return list(dict.fromkeys(comparable_cells(config) + loss_cells(config)))
    return [] if name in COMPUTED_TABLES else table_cells(config, name)


def metrics_of(cells: list[Cell]) -> list[str]:
    """The files that a table of these cells is made of: what was measured, and the seconds of the fit."""
    return [f"{cell.path}/{file}" for cell in cells for file in ("metrics.json", "fit.json")]


def table_fingerprint(config: Config, name: str) -> str:
    """Of all that a table shows besides its cells; NernError with the known names if there is none."""
    if name == "conv_sizes":
        return ""
    known = "" if name.startswith(FRONTIER) else files.sha256(_PUBLISHED)
    if name in COMPUTED_TABLES:
        factors = [config.tables[LAMBDA_TABLE].model_dump()] if LAMBDA_TABLE in config.tables else []
        return fingerprint(_Shown(settings=factors if name == "summary" else [], published_sha256=known))
    table = frontier_of(config, name) if name.startswith(FRONTIER) else table_of(config, name)
    task = task_of(config, table.task)
    settings = [table.model_dump()]
    return fingerprint(_Shown(settings=settings, title=task.title, note=task.note, published_sha256=known))


def figure_fingerprint(config: Config, name: str) -> str:
    """Of all that a figure shows besides its cells; NernError with the known names if there is none."""
    figure = figure_settings(config, name)
    settings, task = [figure.model_dump()], figure.task if isinstance(figure, CellsFigure | Frontier) else None
    if isinstance(figure, TableFigure):
        table = table_of(config, figure.table)
        settings, task = [*settings, table.model_dump()], table.task
    return fingerprint(_Shown(settings=settings, title=task_of(config, task).title if task else ""))
