"""Figure 8: cosine similarity of the embeddings of (0, 0, c) to that of a reference index, for several bases."""

import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from nern.method.embedding import positional_embedding
from nern.report.figures.style import COLORS, LINES
from nern.report_settings import EmbeddingFigure


def frame(settings: EmbeddingFigure) -> pd.DataFrame:
    """Columns base, index, similarity."""
    coordinates = torch.zeros(settings.indices, 3)
    coordinates[:, 2] = torch.arange(settings.indices)
    reference = torch.tensor([[0.0, 0.0, settings.reference]])
    parts = []
    for base in settings.bases:
        every, one = (positional_embedding(c, base=base, levels=settings.levels) for c in (coordinates, reference))
        similarity = F.cosine_similarity(every.double(), one.double())
        parts.append(pd.DataFrame({"base": base, "index": range(settings.indices), "similarity": similarity.tolist()}))
    return pd.concat(parts, ignore_index=True)


def draw(data: pd.DataFrame, settings: EmbeddingFigure) -> Figure:
    """One line per base."""
    figure = Figure(figsize=(6.6, 3.4))
    axes = figure.subplots()
    for number, (base, part) in enumerate(data.groupby("base", sort=False)):
        style = {"color": COLORS[number % len(COLORS)], "linestyle": LINES[number % len(LINES)]}
        axes.plot(part["index"], part["similarity"], label=f"b = {base:g}", **style)
    axes.axvline(settings.reference, color="#888888", linewidth=0.8)
    axes.set_xlabel("index c of the coordinate (0, 0, c)")
    axes.set_ylabel("cosine similarity")
    axes.set_title(settings.title, wrap=True)
    figure.legend(loc="outside right center")
    return figure
