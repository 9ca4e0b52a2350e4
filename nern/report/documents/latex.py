"""A document as LaTeX: booktabs tables that compile alone, or as part of a document that inputs them."""

import itertools

from nern.report.documents.document import Column, Document, Grid, Text
from nern.report.documents.latex_text import escape

PREAMBLE = r"""% Written by nern. Compiles alone; a document that inputs it needs the packages booktabs and graphicx.
\makeatletter
\ifx\documentclass\@twoclasseserror
  \makeatother
  \let\nernend\relax
\else
  \makeatother
  \documentclass{article}
  \usepackage[a4paper,landscape,margin=2cm]{geometry}
  \usepackage{booktabs,graphicx}
  \pagestyle{empty}
  \begin{document}
  \def\nernend{\end{document}}
\fi
"""
"""After \\documentclass LaTeX redefines it as \\@twoclasseserror: so the file knows whether it is being input."""


def latex(document: Document) -> str:
    """The document as LaTeX text."""
    floats = [_float(document, index) for index in range(len(document.grids))]
    return "\n".join([PREAMBLE, *floats, "\\nernend"]) + "\n"


def _float(document: Document, index: int) -> str:
    grid = document.grids[index]
    label = f"tab:{document.name}" + (f"-{index + 1}" if index else "")
    lines = [
        r"\begin{table}[htbp]",
        r"\centering\small\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{escape(grid.title)}}}\label{{{label}}}\smallskip",
        # a wide table shrinks to the line, a narrow one keeps its size
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        *_tabular(grid),
        "}",
    ]
    return "\n".join([*lines, *_notes(grid), r"\end{table}", ""])


def _tabular(grid: Grid) -> list[str]:
    wide = [r"@{\hspace{1.2em}}" * grid.opens_group(position) for position in range(len(grid.columns))]
    align = "".join(gap + _align(column) for gap, column in zip(wide, grid.columns, strict=True))
    lines = [rf"\begin{{tabular}}{{{align}}}", r"\toprule", *_header(grid)]
    for index, row in enumerate(grid.rows):
        repeats = grid.repeats(index)
        if index and grid.keys and not repeats:
            lines.append(r"\midrule")
        cells = ["" if position < repeats else _cell(text) for position, text in enumerate(row)]
        lines.append(" & ".join(cells) + r" \\")
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _header(grid: Grid) -> list[str]:
    lines = []
    if any(column.group for column in grid.columns):
        spans, rules, position = [], [], 1
        for group, columns in itertools.groupby(grid.columns, key=lambda column: column.group):
            width = len(list(columns))
            spans.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(group)}}}")
            if group:
                rules.append(rf"\cmidrule(lr){{{position}-{position + width - 1}}}")
            position += width
        lines = [" & ".join(spans) + r" \\", "".join(rules)]
    return [*lines, " & ".join(map(_heading, grid.columns)) + r" \\", r"\midrule"]


def _heading(column: Column) -> str:
    """A column's name, its unit on a second line: wide tables must fit a page."""
    name, bracket, unit = column.name.partition(" (")
    if not bracket:
        return escape(name)
    return rf"\begin{{tabular}}[b]{{@{{}}{_align(column)}@{{}}}}{escape(name)}\\({escape(unit)}\end{{tabular}}"


def _align(column: Column) -> str:
    return "r" if column.numeric else "l"


def _cell(text: Text) -> str:
    """A mark stands in the gap to the next column, so that digits stay below digits; there is no room for two."""
    marks = rf"\textsuperscript{{{','.join(text.marks)}}}" if text.marks else ""
    return escape(text.value) + (rf"\rlap{{{marks}}}" if len(text.marks) == 1 else marks)


def _notes(grid: Grid) -> list[str]:
    marked = [rf"\textsuperscript{{{mark}}} {escape(note)}" for mark, note in grid.marked.items()]
    notes = marked + [rf"\textit{{{escape(note.label)}}}: {escape(note.text)}" for note in grid.notes]
    return [
        "",
        r"\medskip",
        r"\begin{minipage}{\linewidth}\footnotesize\raggedright",
        " \\par\n".join(notes),
        r"\end{minipage}",
    ]
