"""Tables of cells, laid out like the paper's table 1, and the files that they are written to.

One row per network and hidden size, one group of columns per smoothing mode or variant: mean and interval over seeds,
n, the published accuracy and the difference to it. What is not there is a dash with a mark, and a note says why.
"""

from pathlib import Path

import pandas as pd

from nern import checkpoint
from nern.config import Config, Table, fingerprint
from nern.matrix import fit_settings, table_cells, table_of
from nern.report import formats, notes
from nern.report.collect import collect, write_csv
from nern.report.document import DASH, Column, Document, Grid, Marks, Text
from nern.report.entries import Entries, Entry
from nern.report.render import render


def write(config: Config, name: str, root: Path, out: Path) -> None:
    """Write `<name>.csv` (the long frame), `.md`, `.tex` and `.html` into `out`, each atomically.

    Args:
        config: the configuration that has the table.
        name: of the table.
        root: the folder that `results/` lies in.
        out: the folder for the files.

    Raises:
        NernError: the table is unknown, a metrics file is damaged, or a file cannot be written.
    """
    cells = table_cells(config, name)
    frame = collect(cells, root, {cell: fingerprint(fit_settings(config, cell)) for cell in cells})
    write_csv(out / f"{name}.csv", frame)
    for suffix, text in render(build(frame, table_of(config, name), name)).items():
        checkpoint.write_text(out / f"{name}{suffix}", text)


def build(frame: pd.DataFrame, table: Table, name: str) -> Document:
    """The table of a long frame.

    Args:
        frame: one row per cell of the table (see `nern.report.collect`).
        table: its settings.
        name: its name, for labels.
    """
    entries, marks = Entries(frame, table), Marks()
    grid = _main_grid(entries, table.title, marks)
    return Document(name, table.title, [grid], marks.notes, notes.general(frame, entries))


def _main_grid(entries: Entries, title: str, marks: Marks) -> Grid:
    own_original = _originals_differ(entries)
    columns = [
        Column("Network", numeric=False),
        Column("Learnable weights (MiB)"),
        Column("Hidden size"),
        Column("Predictor (MiB)"),
    ]
    if not own_original:
        columns.append(Column("Original (%)"))
    if entries.several_others:
        columns.append(Column("Smoothing" if entries.by_variant else "Variant", numeric=False))
    for group in entries.groups:
        columns.extend(_group_columns(group, own_original, _has_published(entries, group)))
    rows = [_row(entries, line, own_original, marks) for line in entries.lines]
    return Grid(title, columns, rows, keys=2)


def _originals_differ(entries: Entries) -> bool:
    """Whether the columns of some line learned originals of different accuracy: each group then shows its own."""
    return any(
        len({accuracy for entry in entries.of_line(line) for accuracy in entry.done["original_accuracy"]}) > 1
        for line in entries.lines
    )


def _has_published(entries: Entries, group: str) -> bool:
    return any(entry.published is not None for entry in entries.of_group(group))


def _group_columns(group: str, own_original: bool, has_published: bool) -> list[Column]:
    names = ["original (%)"] * own_original + ["accuracy (%)", "n"] + ["published", "difference"] * has_published
    return [Column(name, group) for name in names]


def _row(entries: Entries, line: tuple[str, int, str], own_original: bool, marks: Marks) -> list[Text]:
    network, hidden, other = line
    done = pd.concat([entry.done for entry in entries.of_line(line)])
    row = [network, _sizes(entries, done, "learnable_bytes"), str(hidden), _sizes(entries, done, "predictor_bytes")]
    if not own_original:
        row.append(formats.distinct(done["original_accuracy"].tolist(), 2))
    if entries.several_others:
        row.append(other)
    texts = [Text(value) for value in row]
    for group in entries.groups:
        texts.extend(_entry(entries[line, group], own_original, _has_published(entries, group), marks))
    return texts


def _sizes(entries: Entries, done: pd.DataFrame, column: str) -> str:
    every = [size / formats.MIB for entry in entries for size in entry.done[column]]
    return formats.distinct([size / formats.MIB for size in done[column]], formats.size_digits(every))


def _entry(entry: Entry, own_original: bool, has_published: bool, marks: Marks) -> list[Text]:
    mean, half_width = entry.interval("accuracy")
    reasons = (marks.mark(notes.absence(entry)),) if len(entry.absent) else ()
    texts = [Text(formats.interval(mean, half_width), reasons), Text(str(entry.n))]
    if own_original:
        texts.insert(0, Text(formats.distinct(entry.done["original_accuracy"].tolist(), 2)))
    if has_published and entry.published is None:
        texts += [Text(DASH), Text(DASH)]
    elif entry.published is not None:
        difference = mean - entry.published
        inside = (marks.mark(notes.INSIDE),) if abs(difference) <= half_width else ()
        texts += [Text(f"{entry.published:.2f}"), Text(formats.signed(difference), inside)]
    return texts
