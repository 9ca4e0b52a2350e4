"""A document as one HTML page that needs nothing else; it reads the same inside a Snakemake report."""

import html as markup
import itertools

from nern.report.document import Document, Grid, Text, visible

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1e21; background: #fff; width: fit-content; max-width: 88rem;
       margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; margin: 0 0 1rem; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .75rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; border: solid; border-width: 2px 0; }
th, td { padding: .25rem .65rem; text-align: left; vertical-align: bottom; }
td { white-space: nowrap; }
th { font-weight: 600; line-height: 1.25; }
.number { text-align: right; }
th.group { text-align: center; }
th.group span { display: block; border-bottom: 1px solid #888; padding-bottom: .25rem; }
.first { padding-left: 1.2rem; }
thead tr:last-child th { border-bottom: 1px solid; }
tr.part td { border-top: 1px solid #c4c8cc; }
tbody tr:hover { background: #f2f5f8; }
.again { color: transparent; }
tr:hover .again { color: #8a9096; }
sup { position: absolute; font-size: .7em; line-height: 1.2; padding-left: .1em; }
.notes { font-size: .875rem; color: #3c4146; max-width: 58rem; display: grid; margin: 1rem 0 0;
         grid-template-columns: max-content 1fr; gap: .15rem .9rem; }
.notes dt { font-weight: 600; }
.notes dd { margin: 0; }
thead tr:last-child th { cursor: pointer; }
th[aria-sort]::after { content: " ▲"; font-size: .65em; }
th[aria-sort=descending]::after { content: " ▼"; }
@media print { th[aria-sort]::after { content: ""; } }
"""

# A click on a column's name sorts by it; what is no number comes last.
SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const text = (row, at) => row.cells[at].firstChild ? row.cells[at].firstChild.textContent : "";
  const number = (row, at) => parseFloat(text(row, at).replace("\u2212", "-").replaceAll(",", ""));
  heads.forEach((head, at) => {
    head.tabIndex = 0;
    head.title = "sort by " + head.textContent;
    const sort = () => {
      const sign = head.ariaSort === "ascending" ? -1 : 1;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.ariaSort = sign > 0 ? "ascending" : "descending";
      const rows = [...table.tBodies[0].rows];
      rows.sort((one, other) => {
        if (!head.classList.contains("number")) return sign * text(one, at).localeCompare(text(other, at));
        const [a, b] = [number(one, at), number(other, at)];
        return isNaN(a) || isNaN(b) ? isNaN(a) - isNaN(b) : sign * (a - b);
      });
      rows.forEach(row => {
        row.classList.remove("part");
        [...row.cells].forEach(cell => cell.classList.remove("again"));
        table.tBodies[0].append(row);
      });
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
  });
}
"""


def html(document: Document) -> str:
    """The document as the text of a page."""
    parts = []
    for index, grid in enumerate(document.grids):
        if index:
            parts.append(f"<h2>{_escape(grid.title)}</h2>")
        parts += [_table(grid), _notes(grid)]
    title = _escape(document.title)
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
            f"<script>{SCRIPT}</script>",
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
        for position, text in enumerate(row):
            lines.append(f"<td{_classes(grid, position, again=position < repeats)}>{_cell(text)}</td>")
        lines.append("</tr>")
    return "\n".join([*lines, "</tbody>", "</table></div>"])


def _header(grid: Grid) -> list[str]:
    names = [
        f"<th{_classes(grid, position)}>{_escape(column.name)}</th>" for position, column in enumerate(grid.columns)
    ]
    header = ["<tr>" + "".join(names) + "</tr>"]
    if any(column.group for column in grid.columns):
        spans = []
        for group, columns in itertools.groupby(grid.columns, key=lambda column: column.group):
            kind = ' class="group first"' if group else ""
            spans.append(f"<th{kind} colspan={len(list(columns))}><span>{_escape(group)}</span></th>")
        header.insert(0, "<tr>" + "".join(spans) + "</tr>")
    return header


def _classes(grid: Grid, position: int, *, again: bool = False) -> str:
    """The classes of a cell: it holds a number, it opens a group of columns, it repeats the cell above."""
    names = ["number"] * grid.columns[position].numeric + ["first"] * grid.opens_group(position) + ["again"] * again
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
