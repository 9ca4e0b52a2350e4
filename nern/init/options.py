"""What `nern init` is told: options called like the settings that they become, and questions for what is missing.

The command line imports this, so it imports nothing heavy.
"""

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from nern.command import positive
from nern.errors import NernError
from nern.settings import Settings

QUESTIONS = {
    "weights": "the trained weights, a .safetensors, .pt or .th file, or torchvision:WEIGHTS",
    "architecture": "cifar-resnet, torchvision:NAME, or package.module:callable",
    "depth": "of a cifar-resnet, 6n + 2",
    "images": "folder:PATH or parquet:PATH (with train and test or val in it), either as KIND:TRAIN,TEST, "
    "torchvision:CIFAR10, torchvision:CIFAR100, or digits",
}
"""Options that must be given; a terminal is asked for those that are not."""


@dataclass(frozen=True)
class Options:
    """The command line, completed."""

    file: Path
    weights: str
    architecture: str
    images: str
    depth: int | None = None
    width: int | None = None
    shortcut: str | None = None
    learnable: list[int] | None = None
    classes: int | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    size: int | None = None
    resize: int | None = None
    streaming: bool | None = None
    image_column: str | None = None
    label_column: str | None = None
    device: str = "auto"

    def given(self, *names: str) -> dict[str, object]:
        """Those of some options that were given."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def add_to(command: argparse.ArgumentParser) -> None:
    """Add the options to a command line."""
    command.add_argument("file", type=Path, metavar="FILE.yaml", help="the overlay to write; never overwritten")
    for name, text in QUESTIONS.items():
        command.add_argument(f"--{name}", type=int if name == "depth" else str, metavar=name.upper(), help=text)
    command.add_argument("--width", type=int, help="of a cifar-resnet's first stage (default: 16)")
    command.add_argument("--shortcut", choices=("A", "B"), help="of a cifar-resnet (default: as the weights have it)")
    command.add_argument(
        "--learnable", type=int, nargs="+", metavar="SIZE", help="learn the kernels of these sizes (default: all)"
    )
    command.add_argument("--classes", type=positive, help="how many (default: as the images' source says)")
    command.add_argument(
        "--mean",
        type=float,
        nargs="+",
        metavar="M",
        help="that the network was trained with, a number a channel (default: what the weights' file says, else that "
        "of the training images)",
    )
    command.add_argument("--std", type=float, nargs="+", metavar="S", help="likewise, the deviation")
    command.add_argument("--size", type=int, help="folder: side of the images that the network sees, in pixels")
    command.add_argument("--resize", type=int, help="folder: shorter side before the center crop, in pixels")
    command.add_argument(
        "--streaming", action="store_true", default=None, help="folder: decode at each use, not once into memory"
    )
    command.add_argument("--image-column", metavar="NAME", help="parquet: the column of images (default: img)")
    command.add_argument("--label-column", metavar="NAME", help="parquet: the column of labels (default: label)")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1 (default: auto)")


def completed(arguments: argparse.Namespace) -> Options:
    """The options, after questions for those that are missing.

    Raises:
        NernError: one is missing, and there is no terminal to ask.
    """
    said = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(Options)}
    for name in QUESTIONS:
        if said[name] is None and (name != "depth" or said["architecture"] == "cifar-resnet"):
            said[name] = asked_number(name) if name == "depth" else asked(name, QUESTIONS[name])
    return Options(**said)


def asked(name: str, question: str) -> str:
    """The answer to a question on the terminal; NernError if there is none to ask."""
    answer = ""
    with contextlib.suppress(EOFError):
        while sys.stdin.isatty() and not answer:
            answer = input(f"{name} ({question}): ").strip()
    if not answer:
        raise NernError(f"--{name} is missing: {question}; give it, or run on a terminal, which asks")
    return answer


def asked_number(name: str, question: str | None = None) -> int:
    """The same of a whole number."""
    answer = asked(name, question or QUESTIONS[name])
    if not answer.isdecimal():
        raise NernError(f"--{name}: a whole number is needed, not {answer!r}")
    return int(answer)


@contextlib.contextmanager
def blaming(option: str) -> Iterator[None]:
    """Let a mistake that is found here begin with the option that it is in."""
    try:
        yield
    except NernError as error:
        text = str(error)
        raise NernError(text if text.startswith(option) else f"{option}: {text}") from None


Model = TypeVar("Model", bound=Settings)


def validated(model: type[Model], values: Mapping[str, object], otherwise: str) -> Model:
    """Settings made of options.

    Args:
        model: the section of the configuration.
        values: its keys.
        otherwise: the option to blame for what is in none of its own.

    Raises:
        NernError: the first mistake, with the option that it is in.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    names = {each.name for each in dataclasses.fields(Options)}
    option = f"--{field.replace('_', '-')}" if field in names else otherwise
    if first["type"] == "extra_forbidden":
        raise NernError(f"{option}: does not go with this {otherwise}; remove it")
    got = f" (got {first['input']!r})" if field else ""
    raise NernError(f"{option}: {first['msg'].removeprefix('Value error, ')}{got}")
