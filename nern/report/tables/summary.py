"""One line per published figure: reproduced, not reproduced, or not run. Then losses, by any protocol.

The rule, for an accuracy: reproduced if the published value lies in the 95 % interval over the seeds. Fits by another
protocol, or tested on other images, do not count as runs of it.
"""

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from nern.addresses import Cell
from nern.config import Config
from nern.report import partial, published
from nern.report.cells.collect import DONE, current
from nern.report.comparable import (
    LAMBDA_TABLE,
    PROTOCOLS,
    by_published_protocol,
    comparable_cells,
    is_changed,
    loss_cells,
)
from nern.report.documents import formats
from nern.report.documents.document import DASH, Column, Document, Grid, Note, Text
from nern.report.published import Published
from nern.report.statistics import ROUNDING, holds, mean_confidence_interval
from nern.report.tables import losses, notes, sizes
from nern.resolved import original_of, original_settings

REPRODUCED, NOT_REPRODUCED, NOT_RUN = "reproduced", "not reproduced", "not run"
RULES = Note(
    "Rule",
    "an accuracy counts as reproduced if the published value lies in the 95 % t-interval over at least two seeds; an "
    "original's, of which there is one, if it differs by at most 0.5 points; a range if the values lie in it, rounded "
    "as it is; the best λ if the mean accuracy is highest there alone. Not run: there are no fits by the paper's "
    "protocol on the paper's data; for the best λ, not the same seeds of every factor, the published one among them. "
    "Each fit counts with its last iterate; the authors' code keeps the checkpoint that is best on the test images.",
)
ORIGINAL_TOLERANCE = 0.5


def summary(config: Config, root: Path) -> tuple[pd.DataFrame, Document]:
    """The frame of the summary and its document.

    Args:
        config: the configuration.
        root: the folder that `results/` lies in.

    Raises:
        NernError: a metrics file is damaged.
    """
    strict, by_loss = comparable_cells(config), loss_cells(config)
    frame = current(config, list(dict.fromkeys(strict + by_loss)), root)
    done = frame[frame["status"] == DONE]
    counts = zip(done["task"], done["test_images"], strict=True)
    # a Series of bool even if there is no cell: of an empty list pandas would make a choice of no columns
    done = done[pd.Series([published.is_papers_data(task, [n]) for task, n in counts], index=done.index, dtype=bool)]
    comparable = done[done["cell"].isin([cell.path for cell in strict])]
    # a variant of the table of λ may be called base, too, and have a regularized original
    exact = [cell.path for cell in strict if cell.variant == PROTOCOLS[0] and by_published_protocol(config, cell)]
    rows = [_line(config, figure, comparable, set(exact)) for figure in published.figures()]
    data = pd.DataFrame([row for row in rows if row])
    columns = [Column("What", numeric=False), Column("Published"), Column("Here"), Column("n"), Column("Difference")]
    columns += [Column("Verdict", numeric=False), Column("Source", numeric=False)]
    texts = [[Text(str(row[name])) for name in data.columns] for row in data.to_dict("records")]
    verdicts = ", ".join(
        f"{(data['verdict'] == verdict).sum()} {verdict}" for verdict in (REPRODUCED, NOT_REPRODUCED, NOT_RUN)
    )
    general = [Note("Counts", f"{verdicts}."), RULES, notes.cells(frame)]
    changed = {cell.path for cell in by_loss if is_changed(config, cell)}
    others, lost = losses.grid(done[done["cell"].isin([cell.path for cell in by_loss])], changed)
    grids = [Grid("Summary", columns, texts, general), lost]
    data = pd.concat([data, others], ignore_index=True)
    data.attrs[partial.ABSENT] = int((frame["status"] != DONE).sum())
    return data, Document("summary", "Summary: what was reproduced, and what it costs", grids)


def _line(config: Config, figure: Published, done: pd.DataFrame, exact: Collection[str]) -> dict[str, str] | None:
    """What a published figure says, what was found here, and the verdict; None for what needs none: times, losses.

    Args:
        config: the configuration.
        figure: the published one.
        done: the finished cells that any figure is about.
        exact: those by the paper's protocol whose original is by the paper's recipe.
    """
    if figure.kind == "accuracy":
        return _accuracy(figure, done[done["cell"].isin(exact)])
    if figure.kind == "original_accuracy":
        return _original(figure, done[done["cell"].isin(exact)])
    if figure.kind == "permutation_overhead":
        return _overhead(figure)
    return _best_lambda(config, figure, done) if figure.kind == "best_lambda" else None


def _row(what: str, claim: str, here: str, n: int, difference: str, verdict: str, source: str) -> dict[str, str]:
    return {
        "what": what,
        "published": claim,
        "here": here,
        "n": str(n),
        "difference": difference,
        "verdict": verdict,
        "source": source,
    }


def _name(figure: Published) -> str:
    return " ".join(part for part in (figure.task, figure.network) if part)


def _accuracy(figure: Published, done: pd.DataFrame) -> dict[str, str]:
    assert figure.low is not None
    part = done[(done["task"] == figure.task) & (done["network"] == figure.network)]
    part = part[(part["smoothing"] == figure.smoothing) & (part["hidden"] == figure.hidden)]
    mean, half_width = mean_confidence_interval(part["accuracy"].tolist())
    what = f"{_name(figure)} {figure.smoothing} h {figure.hidden}, accuracy (%)"
    if part.empty:
        return _row(what, f"{figure.low:.2f}", DASH, 0, DASH, NOT_RUN, figure.source)
    verdict = REPRODUCED if len(part) > 1 and holds(mean, half_width, figure.low) else NOT_REPRODUCED
    difference = formats.signed(mean - figure.low)
    return _row(
        what, f"{figure.low:.2f}", formats.interval(mean, half_width), len(part), difference, verdict, figure.source
    )


def _original(figure: Published, done: pd.DataFrame) -> dict[str, str]:
    assert figure.low is not None
    part = done[(done["task"] == figure.task) & (done["network"] == figure.network)]
    what = f"{_name(figure)}, original's accuracy (%)"
    if part.empty:
        return _row(what, f"{figure.low:.2f}", DASH, 0, DASH, NOT_RUN, figure.source)
    found = float(part["original_accuracy"].iloc[0])
    verdict = REPRODUCED if abs(found - figure.low) <= ORIGINAL_TOLERANCE else NOT_REPRODUCED
    return _row(
        what, f"{figure.low:.2f}", f"{found:.2f}", 1, formats.signed(found - figure.low), verdict, figure.source
    )


def _overhead(figure: Published) -> dict[str, str]:
    frame, _ = sizes.permutation_overhead()
    papers = {(network.name, network.family) for network in sizes.NETWORKS if network.papers}
    chosen = [(row["network"], row["family"]) in papers for row in frame.to_dict("records")]
    found = frame[chosen][f"{figure.smoothing} overhead"].tolist()
    assert figure.low is not None and figure.high is not None
    # the paper gives whole per cents
    inside = all(figure.low <= round(value) <= figure.high for value in found)
    return _row(
        f"size of {figure.smoothing} permutations (%)",
        f"{figure.low:g}–{figure.high:g}",
        " / ".join(f"{value:.2f}" for value in found),
        len(found),
        DASH,
        REPRODUCED if inside else NOT_REPRODUCED,
        figure.source,
    )


def _best_lambda(config: Config, figure: Published, done: pd.DataFrame) -> dict[str, str]:
    what = f"{_name(figure)} h {figure.hidden}, best λ"
    part = done[(done["task"] == figure.task) & (done["network"] == figure.network) & (done["hidden"] == figure.hidden)]
    part = part[part["smoothing"] == "none"]
    wanted = set(config.tables[LAMBDA_TABLE].variants) if LAMBDA_TABLE in config.tables else set()
    cells = {row["variant"]: Cell.parse(row["cell"]) for row in part.to_dict("records")}
    tried = {name: original_settings(config, original_of(config, c)).recipe.smoothness for name, c in cells.items()}
    # of other seeds than another factor has, or without the published factor, a mean decides nothing
    even = (part.groupby("seed")["variant"].nunique() == len(wanted)).all()
    if len(wanted) < 2 or set(tried) != wanted or not even or figure.low not in tried.values():
        return _row(what, f"{figure.low:g}", DASH, 0, DASH, NOT_RUN, figure.source)
    means = part.groupby("variant", sort=False)["accuracy"].mean()
    best = sorted({tried[str(name)] for name in means[means >= means.max() * (1 - ROUNDING)].index})
    verdict = REPRODUCED if best == [figure.low] else NOT_REPRODUCED
    return _row(
        what, f"{figure.low:g}", " / ".join(f"{each:g}" for each in best), len(part), DASH, verdict, figure.source
    )
