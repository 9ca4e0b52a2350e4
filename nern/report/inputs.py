"""Which files a table is made of. The Snakefile asks, so nothing heavy is imported."""

from nern.config import Config
from nern.matrix import COMPUTED_TABLES, FRONTIER, Cell, frontier_inputs, table_cells
from nern.report.published import comparable_cells


def table_inputs(config: Config, name: str) -> list[str]:
    """The files that a table is made of; NernError with the known names if there is no such table."""
    return frontier_inputs(config, name) if name.startswith(FRONTIER) else metrics_of(_cells(config, name))


def _cells(config: Config, name: str) -> list[Cell]:
    if name == "summary":
        return comparable_cells(config)
    return [] if name in COMPUTED_TABLES else table_cells(config, name)


def metrics_of(cells: list[Cell]) -> list[str]:
    """The files that a table of these cells is made of."""
    return [f"{cell.path}/metrics.json" for cell in cells]
