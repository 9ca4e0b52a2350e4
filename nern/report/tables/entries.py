"""The entries of a table: the seeds of one network, hidden size, smoothing mode and variant, done and not done."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from nern.report import published
from nern.report.cells.collect import DONE
from nern.report.statistics import mean_confidence_interval
from nern.report_settings import Table

NAMES = {"none": "no permutation"}
"""What a table calls a smoothing mode, where it is not the mode's own name."""


@dataclass(frozen=True)
class Entry:
    """The cells of one entry, one a seed; `rows` are theirs in the long frame."""

    network: str
    hidden: int
    smoothing: str
    variant: str
    rows: pd.DataFrame
    comparable: bool
    """Whether it is by a published protocol."""

    @cached_property
    def done(self) -> pd.DataFrame:
        """The rows whose numbers count."""
        return self.rows[self.rows["status"] == DONE]

    @cached_property
    def absent(self) -> pd.DataFrame:
        """The rows of the other seeds."""
        return self.rows[self.rows["status"] != DONE]

    @property
    def n(self) -> int:
        """How many seeds are done."""
        return len(self.done)

    def interval(self, column: str) -> tuple[float, float]:
        """Mean and half-width of the 95 % interval of a column over the seeds that are done and have it."""
        return mean_confidence_interval(self.done[column].dropna().tolist())

    @cached_property
    def published(self) -> float | None:
        """The published accuracy in per cent; None for another protocol, or if a cell was tested on other images."""
        task = str(self.rows["task"].iloc[0])
        found = published.accuracy(task, self.network, self.smoothing, self.hidden) if self.comparable else None
        return found.low if found and published.is_papers_data(task, self.done["test_images"]) else None


class Entries:
    """All entries of a table, by row and column group."""

    def __init__(self, frame: pd.DataFrame, table: Table, comparable: Collection[tuple[str, str]]) -> None:
        """Group the long frame.

        Args:
            frame: one row per cell of the table, done or not (see `nern.report.cells.collect`).
            table: its settings.
            comparable: networks and variants whose fits are by a published protocol.
        """
        self.comparable = comparable
        self.by_variant = table.columns == "variant"
        self.groups: list[str] = list(table.variants if self.by_variant else table.smoothing)
        self.names = {"smoothing": NAMES, "variant": dict(table.labels)}
        self.titles = {group: self.names[table.columns].get(group, group) for group in self.groups}
        others: list[str] = list(table.smoothing if self.by_variant else table.variants)
        self.lines = [(network, h, other) for network, sizes in table.sizes.items() for h in sizes for other in others]
        self.several_others = len(others) > 1
        parts = {key: part for key, part in frame.groupby(["network", "hidden", "smoothing", "variant"], sort=False)}
        self._entries = {(line, group): self._entry(line, group, parts) for line in self.lines for group in self.groups}

    def _entry(self, line: tuple[str, int, str], group: str, parts: dict[object, pd.DataFrame]) -> Entry:
        network, hidden, other = line
        smoothing, variant = (other, group) if self.by_variant else (group, other)
        return Entry(
            network,
            hidden,
            smoothing,
            variant,
            parts[network, hidden, smoothing, variant],
            (network, variant) in self.comparable,
        )

    def __getitem__(self, key: tuple[tuple[str, int, str], str]) -> Entry:
        """The entry of a line and a group."""
        return self._entries[key]

    def of_line(self, line: tuple[str, int, str]) -> list[Entry]:
        """The entries of a line, one a group."""
        return [self._entries[line, group] for group in self.groups]

    def of_group(self, group: str) -> list[Entry]:
        """The entries of a group, one a line."""
        return [self._entries[line, group] for line in self.lines]

    def __iter__(self) -> Iterator[Entry]:
        """All entries, line by line."""
        return iter(self._entries.values())
