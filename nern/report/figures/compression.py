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
from nern.report.figures.cells import bars, beside, predictor_digests, subject
from nern.report.figures.style import COLORS, LINES, MARKERS
from nern.report.frontier.points import compressed
from nern.report.statistics import mean_confidence_interval
from nern.report_settings import PruningFigure

KIB = 1024


def frame(config: Config, settings: PruningFigure, done: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Columns sparsity, bits (of a value), n, accuracy and half_width (per cent), bytes of the coded predictor (mean).

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
        row = {"sparsity": codec.sparsity, "bits": codec.bits, "n": len(points)}
        row |= {"accuracy": mean, "half_width": half_width}
        rows.append(row | {"bytes": sum(point["coded_bytes"] for point in points) / len(points)})
    return pd.DataFrame(rows).sort_values(["sparsity", "bits"], ignore_index=True)


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
    """Two panels over one axis: a second scale in one panel is easily misread. A line is of values of as many bits."""
    figure = Figure(figsize=(6, 4.6))
    above, below = figure.subplots(2, 1, sharex=True)
    for number, (bits, part) in enumerate(data.groupby("bits")):
        look: dict[str, Any] = {"color": COLORS[number % len(COLORS)], "marker": MARKERS[number % len(MARKERS)]}
        look |= {"linestyle": LINES[number % len(LINES)], "label": f"values in {bits} bits"}
        percent = 100 * part["sparsity"]
        above.errorbar(percent, part["accuracy"], yerr=part["half_width"], capsize=3, **look)
        below.plot(percent, part["bytes"] / KIB, **look)
    above.set_ylabel("test accuracy (%)")
    above.set_title(f"{settings.title}: {subject(settings)}", wrap=True)
    below.set_ylabel("stored predictor (KiB)")
    below.set_ylim(bottom=0)
    below.set_xlabel("weights set to zero (%)")
    below.legend()
    figure.supxlabel(f"{note}; {bars(data)}", fontsize=7, wrap=True)
    return figure
