"""Losses beside published losses: what reconstruction costs, by any protocol on the paper's data.

Originals differ, so accuracies do not compare; points lost do. Another protocol reproduces nothing: no verdict.
"""

from collections.abc import Collection, Iterator
from typing import Any

import pandas as pd

from nern.report import published
from nern.report.documents import formats
from nern.report.documents.document import DASH, Column, Grid, Note, Text
from nern.report.published import Published
from nern.report.statistics import mean_confidence_interval
from nern.report.tables.entries import NAMES

NOTE = Note(
    "Losses",
    "the original's accuracy minus the reconstructed network's, in points; the original is the protocol's own here and "
    "the publication's there. Here: the mean over n seeds ± the half-width of its 95 % t-interval, of the largest "
    "predictor of a protocol that takes no more bytes than the published one (32 bits a number, no permutation), on "
    "all of the paper's test images, at the last iterate; the authors' code keeps the checkpoint that is best on them. "
    "Changed: called as a published protocol, with settings of its own. Second-hand: "
    "the source itself was not at hand.",
)
COLUMNS = {"what": False, "KiB": True, "published": True, "protocol": False, "order": False, "h": True}
COLUMNS |= {"KiB here": True, "original": True, "here": True, "n": True, "difference": True, "source": False}


def grid(done: pd.DataFrame, changed: Collection[str]) -> tuple[pd.DataFrame, Grid]:
    """One row per published loss and protocol that has fits of at most its bytes; one with dashes where none has.

    Args:
        done: finished cells on the paper's data (see `nern.report.cells.collect`).
        changed: those whose variant is called as a published protocol, and is another.
    """
    names = [f"{row.variant}, changed" if row.cell in changed else row.variant for row in done.itertuples()]
    done = done.assign(variant=pd.Series(names, index=done.index, dtype="str"))
    data = pd.DataFrame([row for figure in published.losses() for row in _rows(figure, done)])
    texts = [[Text(str(row[name])) for name in COLUMNS] for row in data.to_dict("records")]
    columns = [Column(name[0].upper() + name[1:], numeric=numeric) for name, numeric in COLUMNS.items()]
    return data, Grid("Losses against published losses", columns, texts, [NOTE])


def _rows(figure: Published, done: pd.DataFrame) -> Iterator[dict[str, Any]]:
    assert figure.low is not None and figure.budget is not None
    size = f"h {figure.hidden}" if figure.hidden else f"{figure.budget:,} bytes"
    order = f", {NAMES.get(figure.smoothing, figure.smoothing)}" if figure.smoothing else ""
    claim = {
        "what": f"{figure.task} {figure.network} {size}: {figure.text}{order}",
        "KiB": f"{figure.budget / 1024:,.1f}",
        "published": formats.signed(figure.low),
        "source": figure.source,
    }
    part = done[(done["task"] == figure.task) & (done["network"] == figure.network)]
    part = part[part["predictor_bytes"] <= figure.budget]
    if part.empty:
        yield dict.fromkeys(COLUMNS, DASH) | claim | {"n": 0}
    for (variant, smoothing), fits in part.groupby(["variant", "smoothing"], sort=False):
        best = fits[fits["predictor_bytes"] == fits["predictor_bytes"].max()]
        mean, half_width = mean_confidence_interval((best["original_accuracy"] - best["accuracy"]).tolist())
        yield claim | {
            "protocol": variant,
            "order": NAMES.get(str(smoothing), str(smoothing)),
            "h": int(best["hidden"].iloc[0]),
            "KiB here": f"{best['predictor_bytes'].iloc[0] / 1024:,.1f}",
            "original": formats.distinct(best["original_accuracy"].tolist(), 2),
            "here": formats.signed(mean) + (f" ± {half_width:.2f}" if len(best) > 1 else ""),
            "n": len(best),
            "difference": formats.signed(mean - figure.low),
        }
