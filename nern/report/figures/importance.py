"""Figure 5b: mean activation of the filters with the lowest and the highest relative error."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from nern.errors import NernError
from nern.report.figures.cells import beside, predictor_digests, subject
from nern.report.figures.style import COLORS
from nern.report_settings import ImportanceFigure

HATCHES = {"lowest error": "", "highest error": "///"}


def frame(settings: ImportanceFigure, done: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Columns group (lowest error, highest error), rank, filter, relative_error (mean over seeds), activation.

    Raises:
        NernError: a cell's filters were not weighed, or of another layer, or on another number of images.
    """
    digests = predictor_digests(root, done["cell"].tolist())
    found = [beside(root, cell, "importance.json", sha) for cell, sha in digests.items()]
    for cell, tested, one in zip(digests, done["test_images"], found, strict=True):
        weighed, wanted = (one["layer"], one["images"]), (settings.layer, min(settings.images, tested))
        if weighed != wanted:
            raise NernError(
                f"{root / cell}/importance.json: is of {weighed[0]} on {weighed[1]:,} images, and the figure of "
                f"{wanted[0]} on {wanted[1]:,}; run: nern importance {cell}"
            )
    errors = pd.DataFrame([one["relative_error"] for one in found], dtype=float).mean()
    table = pd.DataFrame({"filter": errors.index, "relative_error": errors, "activation": found[0]["activation"]})
    # a filter of zeros has no relative error
    table = table.dropna().sort_values(["relative_error", "filter"]).reset_index(drop=True)
    count = min(settings.filters, len(table) // 2)
    groups = {"lowest error": table.head(count), "highest error": table.tail(count)}
    parts = [part.assign(group=name, rank=range(1, count + 1)) for name, part in groups.items()]
    return pd.concat(parts, ignore_index=True)[["group", "rank", "filter", "relative_error", "activation"]]


def draw(data: pd.DataFrame, settings: ImportanceFigure, note: str) -> Figure:
    """One bar per filter, each with its number."""
    figure = Figure(figsize=(6.4, 3.4))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (name, color) in zip(panels, zip(HATCHES, COLORS, strict=False), strict=True):
        part = data[data["group"] == name]
        axes.bar(part["rank"], part["activation"], color=color, hatch=HATCHES[name], edgecolor="white", linewidth=0)
        low, high = part["relative_error"].min(), part["relative_error"].max()
        axes.set_title(f"{name} (relative, {low:.2f} to {high:.2f})")
        axes.set_xticks(part["rank"], part["filter"].astype(str), rotation=90, fontsize=7)
        axes.axhline(part["activation"].mean(), color="#000000", linewidth=0.8, linestyle="--")
        axes.set_xlabel("filter")
        axes.grid(visible=False, axis="x")
    panels[0].set_ylabel("mean |activation|")
    figure.suptitle(f"{settings.title}: {settings.layer} of {subject(settings)}", fontsize=10, wrap=True)
    figure.supxlabel(f"{note}; dashed: mean of the group", fontsize=7, wrap=True)
    return figure
