"""Where each number comes from, on one page: a line per cell of the matrix, with what made it."""

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from nern.config import Config
from nern.files import write_text
from nern.matrix import all_cells
from nern.report import partial
from nern.report.cells.collect import DONE, MISSING, current, short_commits, write_csv
from nern.report.documents.document import DASH, Column, Document, Grid, Note, Text
from nern.report.documents.html import html
from nern.report.inputs import metrics_of
from nern.report.status.matrix import ORDER

TITLE = "Cells and where they come from"
SHORT = 12
"""Digits of a digest that are shown."""
NOTES = [
    Note("Cell", "its folder under results/, which holds metrics.json, fit.json and config.json."),
    Note("Settings", "the fingerprint of the fit's resolved configuration. Weights: start of the original's SHA-256."),
    Note("Code", "digests of the definitions that each stage uses, as nern verify compares them."),
    Note("Order", "a click on a column's name sorts by it."),
]
NUMBERS = {
    "Accuracy (%)": ("accuracy", 2),
    "Original (%)": ("original_accuracy", 2),
    "Agreement (%)": ("agreement", 2),
    "Divergence": ("divergence", 4),
    "Weight RMSE": ("weight_rmse", 4),
    "Iterations": ("iterations", 0),
    "Fit (s)": ("wall_seconds", 0),
}
"""Columns of numbers: where in the frame, and how many decimals."""
TEXTS = ("Device", "Settings", "Weights", "Code", "Commit", "Versions")
FILTERS = ("task", "network", "status")


def write(config: Config, root: Path, out: Path) -> None:
    """Write `cells.csv`, the long frame of the whole matrix, and the page; while cells are missing, `cells.partial.…`.

    Args:
        config: the configuration.
        root: the folder that `results/` lies in.
        out: the folder for the files.
    """
    cells = all_cells(config)
    frame = current(config, cells, root)
    stem = partial.stem("cells", metrics_of(cells), root, partial.absent(frame))
    write_csv(out / f"{stem}.csv", frame)
    write_text(out / f"{stem}.html", html(document(frame)))
    partial.replace(out, stem)


def document(frame: pd.DataFrame) -> Document:
    """The page of a long frame (see `nern.report.cells.collect`): what is done comes first, what is missing last."""
    names = ("Cell", "Status", "Message", *NUMBERS, *TEXTS)
    columns = [Column(name, numeric=name in NUMBERS, wraps=name == "Message") for name in names]
    frame = frame.sort_values("status", key=lambda states: states.map(ORDER.index), kind="stable")
    rows = [[Text(text or DASH) for text in _row(row)] for row in frame.to_dict("records")]
    filters = {name.capitalize(): frame[name].tolist() for name in FILTERS}
    begun = ", ".join(state for state in ORDER[1:-1] if state in set(frame["status"]))
    parts = Counter(state if state in (DONE, MISSING) else begun for state in frame["status"])
    grid = Grid(TITLE, columns, rows, NOTES, filters=filters, parts=dict(parts), folded=MISSING)
    return Document("cells", TITLE, [grid], lead=_counts(frame))


def _counts(frame: pd.DataFrame) -> str:
    counts = frame["status"].value_counts()
    others = [f"{counts[state]} {state}" for state in ORDER[1:] if state in counts]
    return ", ".join([f"{counts.get(DONE, 0)} of {len(frame)} cells are done", *others]) + "."


def _row(row: dict[Any, Any]) -> list[str]:
    numbers = ["" if pd.isna(row[column]) else f"{row[column]:,.{digits}f}" for column, digits in NUMBERS.values()]
    texts = [
        row["fit_device"],
        row["fingerprint"],
        row["original_sha256"][:SHORT],
        row["code"],
        short_commits(row["git_commit"]),
        row["versions"],
    ]
    return [row["cell"].removeprefix("results/"), row["status"], row["message"], *numbers, *texts]
