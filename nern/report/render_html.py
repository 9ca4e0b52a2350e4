"""A document as one HTML page that needs nothing else; it reads the same inside a Snakemake report."""

import itertools
from html import escape

from nern.report.document import Document, Grid, Text

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1e21; background: #fff; max-width: 75rem;
       margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; margin: 0 0 1rem; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .75rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; border: solid; border-width: 2px 0; }
th, td { padding: .3rem .75rem; text-align: left; white-space: nowrap; }
.number { text-align: right; }
thead th { font-weight: 600; vertical-align: bottom; }
thead th.group { text-align: center; border-bottom: 1px solid #888; }
thead tr:last-child th { border-bottom: 1px solid; }
tr.part td { border-top: 1px solid #c4c8cc; }
.again { color: transparent; }
sup { line-height: 0; }
.notes { font-size: .875rem; color: #3c4146; max-width: 60rem; padding-left: 1.1rem; }
"""


def html(document: Document) -> str:
    """The document as the text of a page."""
    parts = []
    for index, grid in enumerate(document.grids):
        if index:
            parts.append(f"<h2>{escape(grid.title)}</h2>")
        parts.append(_table(grid))
        if not index and (document.marked or document.notes):
            parts.append(_notes(document))
    title = escape(document.title)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
            f"<title>{title}</title>",
            f"<style>{STYLE}</style></head>",
            "<body>",
            f"<h1>{title}</h1>",
            *parts,
            "</body>",
            "</html>",
            "",
        ]
    )


def _table(grid: Grid) -> str:
    lines = ['<div class="wide"><table>', "<thead>", *_header(grid), "</thead>", "<tbody>"]
    for index, row in enumerate(grid.rows):
        repeats = grid.repeats(index)
        lines.append('<tr class="part">' if index and grid.keys and not repeats else "<tr>")
        for position, (column, text) in enumerate(zip(grid.columns, row, strict=True)):
            kinds = ["number"] * column.numeric + ["again"] * (position < repeats)
            lines.append(f"<td{_classes(kinds)}>{_cell(text)}</td>")
        lines.append("</tr>")
    return "\n".join([*lines, "</tbody>", "</table></div>"])


def _header(grid: Grid) -> list[str]:
    names = [f"<th{_classes(['number'] * c.numeric)}>{escape(c.name)}</th>" for c in grid.columns]
    header = ["<tr>" + "".join(names) + "</tr>"]
    if any(column.group for column in grid.columns):
        spans = []
        for group, columns in itertools.groupby(grid.columns, key=lambda column: column.group):
            width = len(list(columns))
            spans.append(f"<th{_classes(['group'] * bool(group))} colspan={width}>{escape(group)}</th>")
        header.insert(0, "<tr>" + "".join(spans) + "</tr>")
    return header


def _classes(names: list[str]) -> str:
    return f' class="{" ".join(names)}"' if names else ""


def _cell(text: Text) -> str:
    return escape(text.value) + (f"<sup>{','.join(text.marks)}</sup>" if text.marks else "")


def _notes(document: Document) -> str:
    marked = [f"<li><sup>{mark}</sup> {escape(note)}</li>" for mark, note in document.marked.items()]
    plain = [f"<li>{escape(note)}</li>" for note in document.notes]
    return "\n".join(['<ul class="notes">', *marked, *plain, "</ul>"])
