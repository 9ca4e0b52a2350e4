"""Figure 5a: accuracy and stored bytes of pruned predictors against sparsity, from what `compress` measured."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from nern.addresses import COMPRESSION, Cell
from nern.codecs.sparse import Sparse
from nern.config import Config
from nern.errors import NernError
from nern.report.cells.collect import Digests
from nern.report.figures.cells import beside, predictor_digests, subject
from nern.report.figures.style import COLORS, LINES, MARKERS
from nern.report.frontier.points import compressed
from nern.report.statistics import mean_confidence_interval
from nern.report_settings import PruningFigure

KIB = 1024


def frame(config: Config, settings: PruningFigure, done: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Columns sparsity, n, accuracy and half_width (per cent), bytes of the coded predictor (mean over seeds).

    Raises:
        NernError: a codec of the figure was not measured, or by other settings.
    """
    digests = predictor_digests(root, done["cell"].tolist())
    known = Digests(root)
    found = {cell: _points(config, cell, sha, known) for cell, sha in digests.items()}
    rows = []
    for name in settings.codecs:
        codec = config.codecs[name]
        assert isinstance(codec, Sparse)
        points = [point for every in found.values() for point in every if point["codec"] == name]
        if len(points) < len(found):
            raise NernError(
                f"figures.meta_compression: {name} was not measured; add it to compression.predictor.codecs"
            )
        mean, half_width = mean_confidence_interval([point["accuracy"] for point in points])
        row = {"sparsity": codec.sparsity, "n": len(points), "accuracy": mean, "half_width": half_width}
        rows.append(row | {"bytes": sum(point["coded_bytes"] for point in points) / len(points)})
    return pd.DataFrame(rows).sort_values("sparsity", ignore_index=True)


def _points(config: Config, cell: str, predictor_sha256: str, digests: Digests) -> list[dict[str, Any]]:
    """What `compress` measured of a cell's predictor; NernError if that is another's, or of other settings."""
    beside(digests.root, cell, COMPRESSION, predictor_sha256)
    found = compressed(config, Cell.parse(cell), digests)
    if found is None:
        path = digests.root / cell / COMPRESSION
        raise NernError(f"{path}: is of other settings or files; run: nern compress {cell}")
    points: list[dict[str, Any]] = found.record["points"]
    return points


def draw(data: pd.DataFrame, settings: PruningFigure, note: str) -> Figure:
    """Two panels over one axis: a second scale in one panel is easily misread."""
    figure = Figure(figsize=(6, 4.6))
    above, below = figure.subplots(2, 1, sharex=True)
    percent = 100 * data["sparsity"]
    above.errorbar(percent, data["accuracy"], yerr=data["half_width"], capsize=3, color=COLORS[0], marker=MARKERS[0])
    above.set_ylabel("test accuracy (%)")
    above.set_title(f"{settings.title}: {subject(settings)}", wrap=True)
    below.plot(percent, data["bytes"] / KIB, color=COLORS[1], linestyle=LINES[1], marker=MARKERS[1])
    below.set_ylabel("stored predictor (KiB)")
    below.set_ylim(bottom=0)
    below.set_xlabel("weights set to zero (%)")
    figure.supxlabel(f"{note}; bars: 95 % t-intervals over seeds", fontsize=7, wrap=True)
    return figure
