"""The settings of stage `compress`: by which codecs it stores an original's weights, and a predictor's."""

from typing import Annotated

from pydantic import Field

from nern.settings import Name, Positive, Settings, Unique


class Stored(Settings):
    """What is done with one kind of tensors: an original's learnable weights, or a predictor's parameters."""

    codecs: Annotated[list[Name], Unique] = Field([], description="each as it is: no data, no training")
    distilled: dict[Name, Positive] = Field(
        {}, description="codecs whose values are trained while they are coded, each with its learning rate"
    )

    @property
    def points(self) -> list[tuple[str, float | None]]:
        """Every codec that is measured, and the learning rate of its distillation; None without one."""
        return [(name, None) for name in self.codecs] + list(self.distilled.items())


class Compression(Settings):
    """By which codecs tensors are stored and measured; a frontier shows all of it."""

    original: Stored = Field(Stored(), description="the learnable weights of an original")
    predictor: Stored = Field(Stored(), description="the parameters of a cell's predictor")
    variant: Name = Field(
        "decoupled", description="the variant whose second phase distills what is coded: images, losses, iterations"
    )
    clip: Positive = Field(1.0, description="largest norm of a step's gradient; a larger one is scaled down to it")
