"""The published figures, from `published.csv` beside this file, each with its source."""

import csv
import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

TEST_IMAGES = {"cifar10": 10_000, "cifar100": 10_000, "imagenet": 50_000}
"""The paper's data sets and the test images in each: an accuracy on fewer is not on the paper's data."""


@dataclass(frozen=True)
class Published:
    """One published figure, or a range of them; what it does not concern is empty or None."""

    kind: str
    task: str
    network: str
    smoothing: str
    hidden: int | None
    low: float | None
    high: float | None
    unit: str
    text: str
    source: str
    bytes: int | None
    """Of the predictor, where a source says so and no h."""

    @property
    def budget(self) -> int | None:
        """The bytes of the predictor that the figure is about, in 32 bits a number."""
        return self.bytes or (predictor_bytes(self.hidden) if self.hidden else None)


def predictor_bytes(hidden: int) -> int:
    """Of the paper's predictor of 3x3 kernels: 240 inputs, 5 layers, 32 bits a number."""
    return 4 * (241 * hidden + 3 * (hidden**2 + hidden) + 9 * hidden + 9)


@functools.cache
def figures() -> tuple[Published, ...]:
    """All published figures, in METHOD's order."""
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Published(
                kind=row["kind"],
                task=row["task"],
                network=row["network"],
                smoothing=row["smoothing"],
                hidden=int(row["hidden"]) if row["hidden"] else None,
                low=float(row["low"]) if row["low"] else None,
                high=float(row["high"]) if row["high"] else None,
                unit=row["unit"],
                text=row["text"],
                source=row["source"],
                bytes=int(row["bytes"]) if row["bytes"] else None,
            )
            for row in csv.DictReader(file)
        )


def accuracy(task: str, network: str, smoothing: str, hidden: int) -> Published | None:
    """The published accuracy of a reconstructed network, in per cent, if there is one."""
    wanted = ("accuracy", task, network, smoothing, hidden)
    return next((p for p in figures() if (p.kind, p.task, p.network, p.smoothing, p.hidden) == wanted), None)


def losses() -> list[Published]:
    """Every published loss of accuracy in points: those stated, and those of accuracies whose original's is published.

    A size that two protocols of one source have been tried on stands there twice; `text` says by which.
    """
    stated = [p for p in figures() if p.kind == "lost"]
    found = []
    for figure in figures():
        original = original_accuracy(figure.task, figure.network) if figure.kind == "accuracy" else None
        if original and original.low is not None and figure.low is not None:
            lost = round(original.low - figure.low, 2)
            found.append(replace(figure, kind="lost", low=lost, high=lost, unit="points", text="NeRN"))
    return found + stated


def is_papers_data(task: str, test_images: Iterable[int]) -> bool:
    """Whether all of some cells, and at least one, were tested on as many images as the paper's task has."""
    counts = set(test_images)
    return task in TEST_IMAGES and counts == {TEST_IMAGES[task]}


def permutation_overhead(smoothing: str) -> tuple[float, float]:
    """The published range of a permutation's size, in per cent of the weights'."""
    found = next(p for p in figures() if p.kind == "permutation_overhead" and p.smoothing == smoothing)
    assert found.low is not None and found.high is not None
    return found.low, found.high


def original_accuracy(task: str, network: str) -> Published | None:
    """The published accuracy of an original, in per cent, if there is one."""
    wanted = ("original_accuracy", task, network)
    return next((p for p in figures() if (p.kind, p.task, p.network) == wanted), None)


def hours_per_fit(task: str) -> tuple[float, float] | None:
    """The hours that the paper states for one fit of a task, from low to high, if it does: for CIFAR and ImageNet."""
    family = task.rstrip("0123456789") if task in TEST_IMAGES else ""
    found = next((p for p in figures() if (p.kind, p.task) == ("fit_time", family)), None)
    return (found.low, found.high) if found and found.low is not None and found.high is not None else None
