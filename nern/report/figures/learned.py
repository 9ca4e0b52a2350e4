"""Figure 8's counterpart for a learned embedding: how alike the vectors of two indices are, after a fit."""

import pandas as pd
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nern.errors import NernError
from nern.method.embedding import AXES, OneHot
from nern.method.predictor import CoordinateMLP
from nern.report.figures.cells import subject
from nern.report_settings import FitFigure


def frame(predictor: CoordinateMLP) -> pd.DataFrame:
    """Columns axis (layers, filters, channels), index, other, similarity: the cosine of the two indices' vectors.

    Raises:
        NernError: the predictor's embedding is not learned.
    """
    if not isinstance(predictor.embedding, OneHot):
        raise NernError("figures.learned_embeddings.variant: its embedding is not learned; choose one of kind table")
    parts = []
    # a column of the first layer's weight is an index's vector, but for a factor
    for axis, vectors in zip(
        AXES, predictor.linears[0].weight.detach().T.split(predictor.embedding.widths), strict=True
    ):
        unit = F.normalize(vectors.double(), dim=1)
        table = pd.DataFrame((unit @ unit.T).numpy()).rename_axis(index="index", columns="other")
        parts.append(table.stack().rename("similarity").reset_index().assign(axis=axis))
    return pd.concat(parts, ignore_index=True)[["axis", "index", "other", "similarity"]]


def draw(data: pd.DataFrame, settings: FitFigure, note: str) -> Figure:
    """A square for each axis."""
    figure = Figure(figsize=(9, 3.4))
    panels = figure.subplots(1, len(AXES))
    for axes, axis in zip(panels, AXES, strict=True):
        square = data[data["axis"] == axis].pivot(index="index", columns="other", values="similarity")
        image = axes.imshow(square.to_numpy(), cmap="PuOr", vmin=-1, vmax=1, interpolation="nearest")
        axes.grid(False)
        for line in (axes.xaxis, axes.yaxis):
            line.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(axis)
    figure.colorbar(image, ax=list(panels), shrink=0.8, label="cosine similarity")
    figure.suptitle(f"{settings.title}: {subject(settings)}", fontsize=10, wrap=True)
    figure.supxlabel(note, fontsize=7, wrap=True)
    return figure
