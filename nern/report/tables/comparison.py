"""Methods against each other: paired by network, hidden size and seed, and pooled over the cells of a table.

Four seeds of one cell cannot show a difference at 5 % (the smallest p is 0.125); the pairs of a whole table can.
"""

import itertools
import math

import pandas as pd

from nern.report.cells.collect import DONE, IDENTITY
from nern.report.documents import formats
from nern.report.documents.document import DASH, Column, Grid, Note, Text
from nern.report.statistics import DRAWS, EXACT_UP_TO, PairedComparison, paired_comparison

FEWEST_PAIRS = 2
MEASURES = {"accuracy": 2, "agreement": 2, "divergence": 4}
"""What is compared, and its decimals. Agreement with the original tells methods apart on fewer test images than
accuracy does, since the original's own mistakes do not enter; the divergence of the outputs on fewer still."""
ASSUMPTIONS = (
    "first minus second method: accuracy and agreement with the original in points, and the divergence KL(original ‖ "
    "reconstructed) of the outputs in nats, over pairs of fits that share network, hidden size and seed. d: mean of "
    "the differences over their standard deviation (Cohen, paired). "
    "p: two-sided sign-flip permutation test of the "
    f"mean difference, by all sign patterns up to {EXACT_UP_TO} pairs, by {DRAWS:,} drawn ones beyond (marked drawn). "
    "It assumes independent pairs whose difference, were the methods equally good, would have either sign equally "
    "often. "
)
ONE_ORIGINAL = (
    "Pairs of one network share its original, and pairs of one seed its random draws: they are not quite independent. "
)
ORIGINALS_OF_LINES = ONE_ORIGINAL.replace("of one network share", "of one network and variant share")
OWN_ORIGINALS = (
    "Some methods learned originals of their own: what their fits differ by is that of the originals, too, and each "
    "agrees with its own. Pairs of one seed share its random draws: they are not quite independent. "
)
UNCORRECTED = "p is not corrected for the number of comparisons."


def paired(frame: pd.DataFrame, dimension: str, first: str, second: str, value: str = "accuracy") -> PairedComparison:
    """`first` minus `second`, over the cells that are done for both and whose other names are the same.

    Args:
        frame: a long frame.
        dimension: the column that tells the methods apart: smoothing or variant.
        first: a value of that column.
        second: another one.
        value: the column that is compared.
    """
    keys = [key for key in IDENTITY if key != dimension]
    done = frame[frame["status"] == DONE].dropna(subset=[value])
    sides = [done[done[dimension] == name].set_index(keys)[value] for name in (first, second)]
    pairs = pd.concat(sides, axis=1, join="inner").sort_index()
    return paired_comparison(pairs.iloc[:, 0].tolist(), pairs.iloc[:, 1].tolist())


def grid(frame: pd.DataFrame, dimension: str, names: dict[str, str]) -> Grid | None:
    """Every two methods of a table against each other; None if none have pairs enough.

    Args:
        frame: the table's long frame.
        dimension: smoothing or variant.
        names: the methods in the table's order, and what the table calls them.
    """
    rows = []
    for second, first in itertools.combinations(names, 2):
        results = [paired(frame, dimension, first, second, measure) for measure in MEASURES]
        if results[0].n >= FEWEST_PAIRS:
            texts = [f"{names[first]} against {names[second]}", str(results[0].n)]
            rows.append([Text(text) for text in itertools.chain(texts, *map(_texts, results, MEASURES.values()))])
    if not rows:
        return None
    keys = [key for key in IDENTITY if key != dimension]
    shared = OWN_ORIGINALS
    if _one_original(frame, keys):
        shared = ONE_ORIGINAL if _one_original(frame, ["network"]) else ORIGINALS_OF_LINES
    columns = [Column(dimension.capitalize(), numeric=False), Column("Pairs")]
    for measure in MEASURES:
        group = measure.capitalize()
        alone = group if measure == "divergence" else f"{group} (points)"
        columns += [Column("difference", group, alone=alone), Column("d", group), Column("p", group)]
    note = Note("Comparisons", ASSUMPTIONS + shared + UNCORRECTED)
    return Grid("Methods compared, paired by seed and pooled over the table", columns, rows, [note])


def _one_original(frame: pd.DataFrame, keys: list[str]) -> bool:
    """Whether the cells that are done and have the same `keys` learned one original."""
    originals = frame[frame["status"] == DONE].groupby(keys)[["original", "original_sha256"]].nunique()
    return bool((originals <= 1).all(axis=None))


def _texts(result: PairedComparison, digits: int) -> list[str]:
    effect = DASH if math.isnan(result.effect_size) else formats.signed(result.effect_size)
    p = formats.p_value(result.p_value) + ("" if result.exact else " (drawn)")
    return [formats.signed(result.mean_difference, digits), effect, p]
