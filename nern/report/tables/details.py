"""What stands beside the headline: the accuracy selected on the test set, agreement, weights, and all bytes."""

import pandas as pd

from nern.report.documents import formats
from nern.report.documents.document import DASH, Column, Grid, Note, Text
from nern.report.statistics import interval_over_images
from nern.report.tables.entries import Entries, Entry

SELECTION = Note(
    "Best-on-test",
    "the highest accuracy among the tests during a fit, selected on the test images themselves: it flatters. The "
    "headline above is the last iterate.",
)
OTHERS = Note(
    "Others",
    "at the last iterate. Lost: the original's accuracy minus this one, mean over the seeds, ± half-width of the 95 % "
    "interval over the test images (paired; Agresti and Min 2005), of each seed for itself: what other images would "
    "have shown. Agreement: test images that the reconstructed network and the original class alike. Divergence: "
    "KL(original ‖ reconstructed) of the softmax outputs in nats, averaged over the test images. Relative error: "
    "‖W − Ŵ‖² / ‖W‖².",
)
SIZES = Note(
    "Sizes",
    "predictor and permutation together, in MiB and in per cent of the learnable weights' bytes. Packed file: the "
    "whole network in the one file that nern pack writes, in per cent of the original's state dict.",
)
TOP5_BELOW = 99.0
"""Per cent: where the originals' top-5 accuracy is higher (ten classes), it says nothing."""


def grid(frame: pd.DataFrame, entries: Entries) -> Grid:
    """One row per entry: means and intervals over its seeds.

    Args:
        frame: the table's long frame.
        entries: the same, by row and column group.
    """
    top5 = bool((frame["original_top5_accuracy"] < TOP5_BELOW).any())
    several = [name for name in ("smoothing", "variant") if frame[name].nunique() > 1]
    columns = [Column("Network", numeric=False), Column("Hidden")]
    columns += [Column(name.capitalize(), numeric=False) for name in several]
    columns += [Column("Best-on-test (%)")] + [Column("Top-5 (%)")] * top5
    columns += [
        Column(name)
        for name in (
            "Lost (points)",
            "Agreement (%)",
            "Divergence",
            "Weight RMSE",
            "Relative error (%)",
            "With permutation (MiB)",
            "Of learnable (%)",
            "Packed file (MiB)",
            "Of original (%)",
        )
    ]
    every = frame["total_bytes"].dropna().tolist()
    rows = [[Text(text) for text in _row(entry, several, top5, every, entries.names)] for entry in entries]
    notes = [SELECTION, SIZES, OTHERS]
    return Grid("Beside the headline: best-on-test, agreement, weights and bytes", columns, rows, notes, keys=2)


def _row(
    entry: Entry, several: list[str], top5: bool, every: list[float], names: dict[str, dict[str, str]]
) -> list[str]:
    shown = {name: str(getattr(entry, name)) for name in several}
    row = [entry.network, str(entry.hidden), *(names[name].get(text, text) for name, text in shown.items())]
    row.append(formats.interval(*entry.interval("best_on_test_accuracy")))
    if top5:
        row.append(formats.interval(*entry.interval("top5_accuracy")))
    row.append(_lost(entry))
    row.append(formats.interval(*entry.interval("agreement")))
    row.append(formats.interval(*entry.interval("divergence"), digits=4))
    row.append(formats.interval(*entry.interval("weight_rmse"), digits=4))
    error, half_width = entry.interval("relative_error")
    row.append(formats.interval(100 * error, 100 * half_width, digits=1))
    row.append(formats.mebibytes(entry.done["total_bytes"].tolist(), every))
    row.append(formats.distinct((100 * entry.done["ratio"]).tolist(), 1))
    row.append(formats.mebibytes(entry.done["packed_bytes"].tolist(), every))
    row.append(formats.distinct((100 * entry.done["packed_ratio"]).tolist(), 1))
    return row


def _lost(entry: Entry) -> str:
    """Points lost, with the interval over test images, of the seeds' mean counts."""
    done = entry.done
    if done.empty:
        return DASH
    won, lost = float(done["won_images"].mean()), float(done["lost_images"].mean())
    difference, half_width = interval_over_images(lost - won, lost + won, int(done["test_images"].iloc[0]))
    return f"{formats.signed(difference)} ± {half_width:.2f}"
