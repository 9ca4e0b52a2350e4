"""Where each number comes from, on one page: a line per cell of the matrix, with what made it."""

from typing import Any

import pandas as pd

from nern.report.document import DASH, Column, Document, Grid, Note, Text

TITLE = "Cells and where they come from"
SHORT = 12
"""Digits of a digest that are shown."""
NOTES = [
    Note("Cell", "its folder under results/, which holds metrics.json, fit.json and config.json."),
    Note("Settings", "the fingerprint of the fit's resolved configuration. Weights: start of the original's SHA-256."),
    Note("Code", "digests of the modules that each stage uses, as nern verify compares them; comments do not count."),
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
TEXTS = ("Device", "Settings", "Weights", "Code", "Commit", "Versions", "Message")


def document(frame: pd.DataFrame) -> Document:
    """The page of a long frame (see `nern.report.collect`)."""
    columns = [Column(name, numeric=name in NUMBERS) for name in ("Cell", "Status", *NUMBERS, *TEXTS)]
    rows = [[Text(text or DASH) for text in _row(row)] for row in frame.to_dict("records")]
    return Document("cells", TITLE, [Grid(TITLE, columns, rows, NOTES)])


def _row(row: dict[Any, Any]) -> list[str]:
    numbers = ["" if pd.isna(row[column]) else f"{row[column]:,.{digits}f}" for column, digits in NUMBERS.values()]
    commit = row["git_commit"][:SHORT] + row["git_commit"][40:]  # a "-dirty" at the end stays
    texts = [row["fit_device"], row["fingerprint"], row["original_sha256"][:SHORT], row["code"], commit]
    return [row["cell"].removeprefix("results/"), row["status"], *numbers, *texts, row["versions"], row["message"]]
