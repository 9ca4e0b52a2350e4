"""The settings of what is shown: tables and figures, each with the cells that it needs."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from nern.settings import Count, CountOrZero, Mode, Name, Positive, Settings, Unique


def _label(text: str) -> str:
    if not text.strip() or text.startswith("_"):
        raise ValueError("a label is not empty, and begins with no underscore, which no legend of a figure shows")
    return text


class Table(Settings):
    """A table of cells: one row per network and hidden size, one group of columns per smoothing mode or variant."""

    title: str
    task: Name
    sizes: dict[Name, Annotated[list[Count], Unique, Field(min_length=1)]] = Field(
        min_length=1, description="hidden sizes of each network"
    )
    smoothing: Annotated[list[Mode], Unique, Field(min_length=1)] = Field(["cross-filter"])
    variants: Annotated[list[Name], Unique, Field(min_length=1)] = Field(["base"])
    columns: Literal["smoothing", "variant"] = "smoothing"
    labels: dict[Name, Annotated[str, AfterValidator(_label)]] = Field(
        {}, description="what the table calls a variant, where not by its name"
    )

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        labels = [self.labels.get(name, name) for name in self.variants]
        if twice := {label for label in labels if labels.count(label) > 1}:
            raise ValueError(f"labels: two variants are called {min(twice)!r}; give each a name of its own")
        return self


class CellsFigure(Settings):
    """A figure about the fits of one network, hidden size, smoothing mode and variant, over all seeds."""

    title: str
    task: Name
    network: Name
    smoothing: Mode = "cross-filter"
    hidden: Count
    variant: Name = "base"


class Frontier(Settings):
    """What originals and predictors are worth at equal bytes: a table and a figure, `frontier_<its name>` both."""

    title: str
    task: Name
    sizes: dict[Name, Annotated[list[Count], Unique, Field(min_length=1)]] = Field(
        min_length=1, description="hidden sizes of each network's predictors"
    )
    smoothing: Annotated[list[Mode], Unique, Field(min_length=1)] = Field(["none", "cross-filter"])
    variants: Annotated[list[Name], Unique, Field(min_length=1)] = Field(["base"])
    margin: Positive = Field(0.5, description="points of accuracy that may be lost where methods' bytes are compared")


class TableFigure(Settings):
    """A figure drawn from the cells of a table."""

    title: str
    table: Name


class PruningFigure(CellsFigure):
    """Accuracy and bytes of predictors whose smallest weights are set to zero (figure 5a)."""

    codecs: Annotated[list[Name], Unique, Field(min_length=1)] = Field(description="those of kind sparse to show")


class ImportanceFigure(CellsFigure):
    """Activations of the filters that are reconstructed best and worst (figure 5b)."""

    layer: str
    filters: Count = Field(10, description="how many of the best and of the worst")
    images: Count = Field(1000, description="test images to average over")


class FitFigure(CellsFigure):
    """A figure about one of those fits, that of the first seed."""


class KernelsFigure(FitFigure):
    """A square of kernels of one layer, original and reconstructed (figure 6)."""

    layer: CountOrZero = Field(description="number of the learnable layer, from 0")
    side: Count = 8


class EmbeddingFigure(Settings):
    """Similarity of embeddings of neighboring indices (figure 8)."""

    title: str
    bases: Annotated[list[Positive], Unique, Field(min_length=1)]
    levels: Count = 40
    indices: Count = 64
    reference: CountOrZero = 31


class Figures(Settings):
    """The paper's figures, and tables as figures: by bytes and by seconds; one that is left out is not drawn."""

    smoothness_regularization: TableFigure | None = None
    loss_curves: TableFigure | None = None
    meta_compression: PruningFigure | None = None
    weight_importance: ImportanceFigure | None = None
    kernels: KernelsFigure | None = None
    embedding_similarity: EmbeddingFigure | None = None
    learned_embeddings: FitFigure | None = None
    size_tradeoff: TableFigure | None = None
    cost_tradeoff: TableFigure | None = None

    @property
    def names(self) -> list[str]:
        """Those that are there."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None]
