"""A document as GitHub Markdown: pipe tables that are aligned in raw form too, and notes as a list."""

import re

import tabulate

from nern.report.documents.document import Document, Grid, Text, visible

tabulate.MIN_PADDING = 0
"""Else headers are two characters wider than they need be, and wide tables wrap in an editor."""


def markdown(document: Document) -> str:
    """The document as Markdown text."""
    parts = [f"# {_escape(document.title)}"]
    for index, grid in enumerate(document.grids):
        if index:
            parts.append(f"## {_escape(grid.title)}")
        parts += [pipe_table(grid), _notes(grid)]
    return "\n\n".join(parts) + "\n"


def pipe_table(grid: Grid) -> str:
    """A grid as a pipe table, without its notes."""
    table: str = tabulate.tabulate(
        [[_cell(text) for text in row] for row in grid.rows],
        headers=[_escape(column.alone or column.name) for column in grid.columns],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["right" if column.numeric else "left" for column in grid.columns],
    )
    return table


def _cell(text: Text) -> str:
    return _escape(text.value) + "".join(f" ({mark})" for mark in text.marks)


def _notes(grid: Grid) -> str:
    marked = [f"- ({mark}) {_escape(note)}" for mark, note in grid.marked.items()]
    return "\n".join(marked + [f"- **{_escape(note.label)}**: {_escape(note.text)}" for note in grid.notes])


def _escape(text: str) -> str:
    """Text whose characters stand for themselves."""
    return re.sub(r"([\\`*<>|\[\]&$~#]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", visible(text))
