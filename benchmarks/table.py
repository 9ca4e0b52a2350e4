"""Rows of the performance table, and Markdown."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import torch

from nern.errors import NernError
from nern.provenance import cores, processor


@dataclass(frozen=True)
class Row:
    """One comparison. All values have the row's unit; None where there is nothing to compare with."""

    what: str
    unit: str
    here: float
    baseline: float | None = None
    bound: float | None = None
    peak: tuple[float, ...] = ()
    """MiB, here and of the baseline."""
    rate: bool = False
    """Whether more is better."""

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the baseline."""
        if self.baseline is None:
            return None
        return self.here / self.baseline if self.rate else self.baseline / self.here

    def cells(self) -> list[str]:
        """The row as text."""
        bound = "–"
        if self.bound is not None:
            bound = f"{number(self.bound)} (×{self.here / self.bound:.2f})"
        return [
            self.what,
            f"{number(self.here)} {self.unit}",
            "–" if self.baseline is None else number(self.baseline),
            "–" if self.ratio is None else f"{self.ratio:.2f}",
            bound,
            " / ".join(f"{peak:,.0f}" for peak in self.peak) or "–",
        ]


HEADER = ["What", "Here", "Baseline", "Times as fast", "Bound (times it)", "Peak memory, here / baseline (MiB)"]


def number(value: float) -> str:
    """Three digits, without an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, the first column left and the others right."""
    lines = [list(header), [":--", *["--:"] * (len(header) - 1)], *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine(device: torch.device | str = "cpu") -> str:
    """Processor, cores and versions in one line."""
    parts = [processor(), f"{cores()} cores", f"torch {torch.__version__}"]
    device = torch.device(device)
    if device.type == "cuda":
        parts = [torch.cuda.get_device_name(device), f"CUDA {torch.version.cuda}", *parts]
    return ", ".join(parts)


def end(main: Callable[[], None]) -> NoReturn:
    """Run a benchmark's main function; a user's mistake is one sentence and exit code 2."""
    try:
        main()
    except NernError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    sys.exit(0)
