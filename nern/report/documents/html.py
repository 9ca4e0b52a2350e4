"""A document as one HTML page that needs nothing else; it reads the same inside a Snakemake report."""

import html as markup
import itertools
import re
from collections import Counter
from collections.abc import Sequence

from nern.report.documents.document import DASH, Document, Grid, Text, visible
from nern.report.documents.page import SCRIPT, STYLE


def html(document: Document) -> str:
    """The document as the text of a page."""
    parts = []
    for index, grid in enumerate(document.grids):
        if index:
            parts.append(f"<h2>{_escape(grid.title)}</h2>")
        parts += [f"<section>{_filters(grid)}", *_tables(grid), "</section>", _notes(grid)]
    title = _escape(document.title)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>",
            f"<style>{STYLE}</style></head>",
            "<body>",
            f"<h1>{title}</h1>",
            *([f"<p>{_escape(document.lead)}</p>"] if document.lead else []),
            *_picture(document.picture),
            *parts,
            f"<script>{SCRIPT}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _picture(svg: str) -> list[str]:
    """The SVG as a part of the page, and a line in which the script says what is under the mouse."""
    caption = "<figcaption><output>What a point is stands here when the mouse is on it.</output></figcaption>"
    return ['<figure><div class="wide">', svg[svg.index("<svg") :], f"</div>{caption}</figure>"] if svg else []


def without_picture(page: str) -> str:
    """A page without its picture, which another version of matplotlib draws with other bytes."""
    return re.sub("<figure>.*?</figure>\n", "", page, flags=re.DOTALL)


def _filters(grid: Grid) -> str:
    """A choice for each filter; the script shows them."""
    choices = []
    for name, values in grid.filters.items():
        counts = {_escape(value): count for value, count in Counter(values).items()}
        options = [f'<option value="{value}">{value} ({count})</option>' for value, count in counts.items()]
        every = "".join(['<option value="">all</option>', *options])
        choices.append(f'<label>{name} <select name="{name.lower()}">{every}</select></label>')
    return f'<form hidden autocomplete="off">{"".join(choices)}<output></output></form>' if choices else ""


def _tables(grid: Grid) -> list[str]:
    """The grid's table; or one for each of its parts, without the columns that say nothing there."""
    every = range(len(grid.columns))
    if not grid.parts:
        return [_table(grid, range(len(grid.rows)), every)]
    tables, first = [], 0
    for name, count in grid.parts.items():
        rows = range(first, first + count)
        columns = [position for position in every if any(grid.rows[row][position].value != DASH for row in rows)]
        state = "" if name == grid.folded and len(grid.parts) > 1 else " open"
        tables.append(f"<details{state}><summary><b>{count}</b> {_escape(name)}</summary>")
        tables += [_table(grid, rows, columns), "</details>"]
        first += count
    return tables


def _table(grid: Grid, rows: Sequence[int], columns: Sequence[int]) -> str:
    lines = ['<div class="wide"><table>', "<thead>", *_header(grid, columns), "</thead>", "<tbody>"]
    for index in rows:
        repeats = grid.repeats(index)
        part = ' class="part"' if index and grid.keys and not repeats else ""
        data = [f' data-{name.lower()}="{_escape(values[index])}"' for name, values in grid.filters.items()]
        lines.append(f"<tr{part}{''.join(data)}>")
        for position in columns:
            text = grid.rows[index][position]
            lines.append(f"<td{_classes(grid, position, again=position < repeats)}>{_cell(text)}</td>")
        lines.append("</tr>")
    return "\n".join([*lines, "</tbody>", "</table></div>"])


def _header(grid: Grid, columns: Sequence[int]) -> list[str]:
    names = [f"<th{_classes(grid, position)}>{_escape(grid.columns[position].name)}</th>" for position in columns]
    header = ["<tr>" + "".join(names) + "</tr>"]
    if any(grid.columns[position].group for position in columns):
        spans = []
        for group, members in itertools.groupby(columns, key=lambda position: grid.columns[position].group):
            kind = ' class="group first"' if group else ""
            spans.append(f"<th{kind} colspan={len(list(members))}><span>{_escape(group)}</span></th>")
        header.insert(0, "<tr>" + "".join(spans) + "</tr>")
    return header


def _classes(grid: Grid, position: int, *, again: bool = False) -> str:
    """The classes of a cell: it holds a number, it opens a group of columns, it repeats the cell above, it may wrap."""
    known = {
        "number": grid.columns[position].numeric,
        "first": grid.opens_group(position),
        "again": again,
        "wraps": grid.columns[position].wraps,
    }
    names = [name for name, holds in known.items() if holds]
    return f' class="{" ".join(names)}"' if names else ""


def _cell(text: Text) -> str:
    return _escape(text.value) + (f"<sup>{','.join(text.marks)}</sup>" if text.marks else "")


def _notes(grid: Grid) -> str:
    marked = [f"<dt>{mark}</dt><dd>{_escape(note)}</dd>" for mark, note in grid.marked.items()]
    plain = [f"<dt>{_escape(note.label)}</dt><dd>{_escape(note.text)}</dd>" for note in grid.notes]
    return "\n".join(['<dl class="notes">', *marked, *plain, "</dl>"])


def _escape(text: str) -> str:
    """Text whose characters stand for themselves."""
    return markup.escape(visible(text))
