"""How figures look, and how they are written: the same bytes for the same data."""

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from nern import files
from nern.report.documents.document import visible

COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F"]
"""Okabe and Ito's palette, that color-blind readers can tell apart, darkest contrasts first, and gray.

Eight colors and seven lines and markers: no two of the first 56 pairs are the same."""
LINES: list[Any] = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (7, 2))]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
"""Color is never the only difference: figures are printed in gray, too."""
SAYS = "says: "
"""Before the `gid` of what a browser explains where the mouse is, by the rest of its gid."""


class _PlainLocator(LogLocator):
    """As many numbers of each power of ten as there is room for."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        powers = math.log10(vmax / vmin)
        self.set_params(subs=(1, 1.5, 2, 3, 4, 5, 6, 8) if powers < 1 else (1, 2, 5) if powers < 2 else (1, 3))
        return super().tick_values(vmin, vmax)


def plain_ticks(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis."""
    axis.set_major_locator(_PlainLocator())
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


@contextmanager
def style() -> Iterator[None]:
    """The settings that all figures share, on top of matplotlib's own, not of a user's."""
    settings: dict[Any, Any] = {
        "figure.constrained_layout.use": True,
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#dddddd",
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.4,
        "lines.markersize": 4,
        "legend.frameon": False,
        "svg.hashsalt": "nern",
        "svg.fonttype": "path",
    }
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(settings)
        yield


def plain(text: str) -> str:
    """Text in which matplotlib sees no formula."""
    return visible(text).replace("$", r"\$")


def svg(figure: Figure) -> str:
    """The figure as SVG, with a title on each artist whose gid begins with `SAYS`."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return re.sub(rf'<g id="{SAYS}([^"]*)">', r'<g class="says">\n<title>\1</title>', buffer.getvalue())


def write(figure: Figure, out: Path, name: str) -> None:
    """Write `<name>.svg` and `<name>.png` (200 dpi) into `out`, each atomically."""
    files.write_text(out / f"{name}.svg", svg(figure))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200, metadata={"Software": None})
    files.write_bytes(out / f"{name}.png", buffer.getvalue())
