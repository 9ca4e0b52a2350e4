"""Tables of cells, laid out like the paper's table 1, and the files that they are written to.

One row per network and hidden size, one group of columns per smoothing mode or variant: mean and interval over seeds,
n, the published accuracy and the difference to it. What is not there is a dash with a mark, and a note says why.
"""

from pathlib import Path

import pandas as pd

from nern import files
from nern.config import Config
from nern.matrix import FRONTIER, table_cells, table_of
from nern.report import partial
from nern.report.cells.collect import current, write_csv
from nern.report.comparable import by_published_protocol, is_papers_network
from nern.report.documents import formats
from nern.report.documents.document import DASH, Column, Document, Grid, Marks, Text
from nern.report.documents.render import render
from nern.report.frontier import table as frontier
from nern.report.frontier.front import points_with_fronts
from nern.report.inputs import table_inputs
from nern.report.statistics import holds
from nern.report.tables import comparison, details, notes, sizes, summary
from nern.report.tables.entries import Entries, Entry
from nern.resolved import protocol_of, task_of


def write(config: Config, name: str, root: Path, out: Path) -> None:
    """Write `<name>.csv` (the long frame), `.md`, `.tex` and `.html` into `out`, each atomically.

    While cells are missing, `<name>.partial.csv` and so on.

    Args:
        config: the configuration that has the table.
        name: of the table; or conv_sizes, permutation_overhead or summary, which have no settings.
        root: the folder that `results/` lies in.
        out: the folder for the files.

    Raises:
        NernError: the table is unknown, a metrics file is damaged, or a file cannot be written.
    """
    frame, document = table(config, name, root)
    stem = partial.stem(name, table_inputs(config, name), root, partial.absent(frame))
    write_csv(out / f"{stem}.csv", frame)
    for suffix, text in render(document).items():
        files.write_text(out / f"{stem}{suffix}", text)
    partial.replace(out, stem)


def table(config: Config, name: str, root: Path) -> tuple[pd.DataFrame, Document]:
    """The long frame of a table, and the table itself; arguments and errors as of `write`."""
    if name in sizes.TABLES:
        return sizes.TABLES[name]()
    if name == "summary":
        return summary.summary(config, root)
    if name.startswith(FRONTIER):
        points = points_with_fronts(config, name, root)
        return points, frontier.document(config, name, points)
    cells = table_cells(config, name)
    frame = current(config, cells, root)
    return frame, build(config, name, frame)


def build(config: Config, name: str, frame: pd.DataFrame) -> Document:
    """The table of a long frame.

    Args:
        config: the configuration that has the table.
        name: of the table.
        frame: one row per cell of the table (see `nern.report.cells.collect`).
    """
    table = table_of(config, name)
    fits = {(cell.network, cell.variant): cell for cell in table_cells(config, name)}
    protocols = {names: protocol_of(config, cell) for names, cell in fits.items()}
    comparable = [names for names, cell in fits.items() if by_published_protocol(config, cell)]
    entries, code, marks = Entries(frame, table, comparable), notes.Code(frame), Marks()
    columns, rows = _Headline(entries, code, marks).grid()
    papers = [network for network in table.sizes if is_papers_network(config, table.task, network)]
    general = notes.general(frame, entries, code, task_of(config, table.task), protocols, papers)
    grids = [Grid(table.title, columns, rows, general, keys=2, marked=marks.notes)]
    if any(entry.n for entry in entries):
        grids.append(details.grid(frame, entries))
    compared = comparison.grid(frame, table.columns, entries.titles)
    if compared:
        grids.append(compared)
    return Document(name, table.title, grids)


class _Headline:
    """The grid that mirrors the paper's table 1."""

    def __init__(self, entries: Entries, code: notes.Code, marks: Marks) -> None:
        self.entries, self.code, self.marks = entries, code, marks
        self.own_original = any(
            len({accuracy for entry in entries.of_line(line) for accuracy in entry.done["original_accuracy"]}) > 1
            for line in entries.lines
        )
        """Whether the groups of some line learned originals of different accuracy: each group then shows its own."""
        self.published = {
            group: any(entry.published is not None for entry in entries.of_group(group)) for group in entries.groups
        }

    def grid(self) -> tuple[list[Column], list[list[Text]]]:
        """Its columns and rows; `marks` then has the notes on single cells."""
        return self._columns(), [self._row(line) for line in self.entries.lines]

    def _columns(self) -> list[Column]:
        columns = [Column("Network", numeric=False), Column("Learnable (MiB)"), Column("Hidden")]
        columns.append(Column("Predictor (MiB)"))
        if not self.own_original:
            columns.append(Column("Original (%)"))
        if self.entries.several_others:
            columns.append(Column("Smoothing" if self.entries.by_variant else "Variant", numeric=False))
        for group, title in self.entries.titles.items():
            if self.own_original:
                columns.append(Column("original (%)", title))
            columns += [Column("accuracy (%)", title, alone=f"{title} (%)"), Column("n", title)]
            if self.published[group]:
                columns += [Column("published", title), Column("difference", title)]
        return columns

    def _row(self, line: tuple[str, int, str]) -> list[Text]:
        network, hidden, other = line
        done = pd.concat([entry.done for entry in self.entries.of_line(line)])
        row = [network, self._size(done, "learnable_bytes"), str(hidden), self._size(done, "predictor_bytes")]
        if not self.own_original:
            row.append(formats.distinct(done["original_accuracy"].tolist(), 2))
        if self.entries.several_others:
            row.append(self.entries.names["smoothing" if self.entries.by_variant else "variant"].get(other, other))
        texts = [Text(value) for value in row]
        for group in self.entries.groups:
            texts += self._entry(self.entries[line, group], self.published[group])
        return texts

    def _size(self, done: pd.DataFrame, column: str) -> str:
        every = [size for entry in self.entries for size in entry.done[column]]
        return formats.mebibytes(done[column].tolist(), every)

    def _entry(self, entry: Entry, has_published: bool) -> list[Text]:
        mean, half_width = entry.interval("accuracy")
        reasons = [notes.absence(entry)] if len(entry.absent) else []
        marks = tuple(self.marks.mark(note) for note in reasons + self.code.others(entry))
        texts = [Text(formats.interval(mean, half_width), marks), Text(str(entry.n))]
        if self.own_original:
            texts.insert(0, Text(formats.distinct(entry.done["original_accuracy"].tolist(), 2)))
        if has_published and entry.published is None:
            texts += [Text(DASH), Text(DASH)]
        elif entry.published is not None:
            difference = mean - entry.published
            inside = (self.marks.mark(notes.INSIDE),) if holds(mean, half_width, entry.published) else ()
            texts += [Text(f"{entry.published:.2f}"), Text(formats.signed(difference), inside)]
        return texts
