"""What figures read of cells: the long frame of those that are done, and the files beside their metrics."""

from pathlib import Path
from typing import Any

import pandas as pd

from nern import files
from nern.addresses import COMPRESSION
from nern.config import Config
from nern.errors import NernError
from nern.matrix import figure_cells
from nern.report.cells.collect import DONE, current
from nern.report.tables.entries import NAMES
from nern.report_settings import CellsFigure
from nern.resolved import task_of


def done_cells(config: Config, name: str, root: Path) -> tuple[pd.DataFrame, str]:
    """The long frame of a figure's cells that are done, and a line that says how many those are, and on what.

    Raises:
        NernError: none is done.
    """
    cells = figure_cells(config, name)
    frame = current(config, cells, root)
    done = frame[frame["status"] == DONE].reset_index(drop=True)
    if done.empty:
        raise NernError(f"figures.{name}: none of its {len(cells)} fits is done; run: snakemake figures/{name}.svg")
    data = task_of(config, cells[0].task).title
    images, iterations = (
        " or ".join(f"{count:,}" for count in sorted({int(count) for count in done[column]}))
        for column in ("test_images", "iterations")
    )
    return done, f"{data}, {images} test images; {len(done)} of {len(cells)} fits, {iterations} iterations"


def bars(data: pd.DataFrame) -> str:
    """What the bars of a figure are, and what has none: one seed would look as if it were exact."""
    return "bars: 95 % t-intervals over seeds" + (", a point without is one seed" if (data["n"] == 1).any() else "")


def subject(settings: CellsFigure) -> str:
    """Which fits a figure is about, as its title says it: by their variant, too, for a title may be the paper's."""
    order = NAMES.get(settings.smoothing, settings.smoothing)
    return f"{settings.network}, {order}, h = {settings.hidden}, {settings.variant}"


def beside(root: Path, cell: str, file: str, predictor_sha256: str) -> dict[str, Any]:
    """A JSON file in a cell's folder; NernError if it is missing, damaged or another predictor's."""
    path, stage = root / cell / file, {COMPRESSION: "compress", "importance.json": "importance"}[file]
    found = files.read_json(path)
    if found.get("inputs", {}).get(f"{cell}/predictor.safetensors") != predictor_sha256:
        raise NernError(f"{path}: belongs to another predictor; run: nern {stage} {cell}")
    return found


def predictor_digests(root: Path, cells: list[str]) -> dict[str, str]:
    """The digest of each cell's predictor, as its metrics have it."""
    return {cell: str(files.read_json(root / cell / "metrics.json")["predictor_sha256"]) for cell in cells}
