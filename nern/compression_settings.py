"""The settings of stage `compress`: by which codecs it stores an original's weights, and a predictor's."""

from typing import Annotated

from pydantic import Field

from nern.settings import Count, Fraction, Name, Positive, Settings, Unique


class Distilled(Settings):
    """A codec whose values are trained while they are coded."""

    codec: Name
    rate: Positive = Field(description="learning rate of Adam, rising first and then falling by half a cosine")


class Stored(Settings):
    """What is done with one kind of tensors: an original's learnable weights, or a predictor's parameters."""

    codecs: Annotated[list[Name], Unique] = Field([], description="each as it is: no data, no training")
    distilled: list[Distilled] = Field([], description="those whose values are trained while they are coded, too")
    iterations: Count | None = Field(
        None, description="of that training; null: those of the second phase of `compression.variant`"
    )

    @property
    def points(self) -> list[tuple[str, float | None]]:
        """Every codec that is measured, and the learning rate of its distillation; None without one."""
        return [(name, None) for name in self.codecs] + [(each.codec, each.rate) for each in self.distilled]


class Compression(Settings):
    """By which codecs tensors are stored and measured; a frontier shows all of it."""

    original: Stored = Field(Stored(), description="the learnable weights of an original")
    predictor: Stored = Field(Stored(), description="the parameters of a cell's predictor")
    variant: Name = Field(
        "decoupled", description="the variant whose second phase distills what is coded: images, losses, iterations"
    )
    warmup: Fraction = Field(0.1, description="share of that training in which learning rates rise from zero")
    clip: Positive = Field(1.0, description="largest norm of a step's gradient; a larger one is scaled down to it")
