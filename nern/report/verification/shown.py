"""Do tables, figures and `results/cells.csv` show what their cells say now?

A line about a finished cell, and whatever was made of a whole matrix, must be what would be written now. Of half a
matrix more may have been finished since: that is a remark.
"""

from collections.abc import Iterator
from pathlib import Path

from nern.addresses import Cell
from nern.config import Config
from nern.errors import NernError
from nern.matrix import COMPUTED_TABLES, FRONTIER, all_cells, figure_names, table_cells
from nern.report import partial
from nern.report.cells import collect
from nern.report.cells import page as cells_page
from nern.report.documents.html import html, without_picture
from nern.report.documents.render import render
from nern.report.figures import write as figures
from nern.report.tables import write as tables
from nern.report.verification.findings import Finding

TABLES, FIGURES, RESULTS = Path("tables"), Path("figures"), Path("results")
PAGES = (".md", ".tex", ".html", ".svg", ".png")
"""What is written beside a CSV and says the same."""


def verify(config: Config) -> Iterator[Finding]:
    """What is wrong with all that is shown in the working folder."""
    for name in config.tables:
        for path in _both(TABLES / f"{name}.csv"):
            yield from _table(config, name, path)
    for name in (*COMPUTED_TABLES, *(f"{FRONTIER}{name}" for name in config.frontiers)):
        for path in _both(TABLES / f"{name}.csv"):
            yield from _computed(config, name, path)
    for name in figure_names(config):
        for path in _both(FIGURES / f"{name}.csv"):
            yield from _figure(config, name, path)
    for path in _both(RESULTS / "cells.csv"):
        yield from _cells(config, path)
    yield from _without_numbers(config)


def _without_numbers(config: Config) -> Iterator[Finding]:
    """Pages and pictures that nothing can be compared with: their CSV is gone, or the configuration has none such."""
    of_tables = {*config.tables, *COMPUTED_TABLES, *(f"{FRONTIER}{name}" for name in config.frontiers)}
    known = {"table": (TABLES, of_tables), "figure": (FIGURES, {*figure_names(config)}), "page": (RESULTS, {"cells"})}
    for kind, (folder, names) in known.items():
        for path in sorted(path for path in folder.glob("*.*") if path.suffix in PAGES):
            whole = path.stem.removesuffix(partial.name(""))
            if whole not in names:
                yield Finding(f"{path}: is no {kind} of the configuration, and was not compared", error=False)
            elif not path.with_suffix(".csv").exists():
                message = f"{path}: was not compared, for {path.stem}.csv is gone; make both again, or remove it"
                yield Finding(message, error=not partial.is_partial(path))


def _said(path: Path) -> str:
    """What a page says; nothing if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _both(whole: Path) -> Iterator[Path]:
    """The file of a whole matrix and that of half a one, if they are there."""
    for path in (whole, whole.with_name(f"{partial.name(whole.stem)}.csv")):
        if path.exists():
            yield path


def _lines(config: Config, cells: list[Cell], path: Path) -> Iterator[Finding]:
    """Lines of a file of cells that differ from their cells: text and numbers alike, as they are written."""
    now = collect.current(config, cells, Path())
    present = {row["cell"]: row for row in now.to_dict("records")}
    shown = collect.read_csv(path)
    if not partial.is_partial(path) and (
        list(shown["cell"]) != [cell.path for cell in cells] or set(shown["status"]) - {collect.DONE}
    ):
        yield Finding(f"{path}: is not of all cells that it would have now; make it again, or remove it", error=True)
    for row in shown[shown["status"] == collect.DONE].to_dict("records"):
        found = present.get(row["cell"])
        if found is None or any(str(row[key]) != str(found[key]) for key in row):
            yield Finding(f"{path}: the numbers of {row['cell']} are not those of its metrics.json", error=True)


def _table(config: Config, name: str, path: Path) -> Iterator[Finding]:
    try:
        yield from _lines(config, table_cells(config, name), path)
        pages = render(tables.build(config, name, collect.read_csv(path)))
    except NernError as error:
        yield Finding(str(error), error=True)
        return
    yield from _pages(path, pages, f"nern table {name}")


def _cells(config: Config, path: Path) -> Iterator[Finding]:
    try:
        yield from _lines(config, all_cells(config), path)
        pages = {".html": html(cells_page.document(collect.read_csv(path)))}
    except NernError as error:
        yield Finding(str(error), error=True)
        return
    yield from _pages(path, pages, "nern collect")


def _pages(path: Path, pages: dict[str, str], again: str) -> Iterator[Finding]:
    """Pages that do not say what the file beside them says."""
    for suffix, text in pages.items():
        page = path.with_suffix(suffix)
        if page.exists() and _said(page) != text:
            yield Finding(f"{page}: does not say what {path.name} says; run: {again}", error=True)


def _computed(config: Config, name: str, path: Path) -> Iterator[Finding]:
    try:
        frame, document = tables.table(config, name, Path())
    except NernError as error:
        yield Finding(str(error), error=True)
        return
    yield from _now(path, {".csv": collect.csv_text(frame)} | render(document), f"nern table {name}")


def _figure(config: Config, name: str, path: Path) -> Iterator[Finding]:
    try:
        data, _ = figures.build(config, name, Path())
    except NernError as error:
        yield Finding(f"{path}: cannot be compared: {error}", error=not partial.is_partial(path))
        return
    yield from _now(path, {".csv": collect.csv_text(data)}, f"nern figure {name}")


def _now(path: Path, texts: dict[str, str], again: str) -> Iterator[Finding]:
    """Files that are not what would be written now."""
    for suffix, text in texts.items():
        file = path.with_suffix(suffix)
        if file.exists() and without_picture(_said(file)) != without_picture(text):
            message = f"{file}: is not what its cells say now; run: {again}"
            yield Finding(message, error=not partial.is_partial(path))
