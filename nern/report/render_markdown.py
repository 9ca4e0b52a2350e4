"""A document as GitHub Markdown: pipe tables that are aligned in raw form too, and notes as a list."""

import re

from tabulate import tabulate

from nern.report.document import Document, Grid, Text


def markdown(document: Document) -> str:
    """The document as Markdown text."""
    parts = [f"# {_escape(document.title)}"]
    for index, grid in enumerate(document.grids):
        if index:
            parts.append(f"## {_escape(grid.title)}")
        parts.append(_pipe_table(grid))
        if not index and (document.marked or document.notes):
            parts.append(_notes(document))
    return "\n\n".join(parts) + "\n"


def _pipe_table(grid: Grid) -> str:
    headers, group = [], ""
    for column in grid.columns:
        opens = column.group and column.group != group
        headers.append(_escape(f"{column.group}: {column.name}" if opens else column.name))
        group = column.group
    table: str = tabulate(
        [[_cell(text) for text in row] for row in grid.rows],
        headers=headers,
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["right" if column.numeric else "left" for column in grid.columns],
    )
    return table


def _cell(text: Text) -> str:
    return _escape(text.value) + "".join(f" ({mark})" for mark in text.marks)


def _notes(document: Document) -> str:
    marked = [f"- ({mark}) {_escape(note)}" for mark, note in document.marked.items()]
    return "\n".join(marked + [f"- {_escape(note)}" for note in document.notes])


def _escape(text: str) -> str:
    """Text whose characters stand for themselves."""
    return re.sub(r"([\\`*<>|\[\]]|(?<!\w)_|_(?!\w))", r"\\\1", text)
