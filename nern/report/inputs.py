"""Which cells a table is made of. The Snakefile asks, so nothing heavy is imported."""

from nern.config import Config
from nern.matrix import COMPUTED_TABLES, Cell, table_cells
from nern.report.published import comparable_cells


def cells_of_table(config: Config, name: str) -> list[Cell]:
    """The cells of a table, with or without settings; NernError with the known names if there is none."""
    if name == "summary":
        return comparable_cells(config)
    return [] if name in COMPUTED_TABLES else table_cells(config, name)


def metrics_of(cells: list[Cell]) -> list[str]:
    """The files that a table of these cells is made of."""
    return [f"{cell.path}/metrics.json" for cell in cells]
