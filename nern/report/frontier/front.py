"""Which points of a frontier are worth having, and who wins where."""

import math
from pathlib import Path

import numpy as np
import pandas as pd

from nern.config import Config
from nern.report.frontier.points import PREDICTOR, WEIGHTS, frame
from nern.report.tables.entries import NAMES

KIB = 1024


def points_with_fronts(config: Config, name: str, root: Path) -> pd.DataFrame:
    """What table and figure show: `points.frame`, with front_accuracy and front_divergence (whether on the front).

    Raises:
        NernError: a file is damaged.
    """
    data = frame(config, name, root)
    data = data.reindex(columns=list(dict.fromkeys([*data.columns, "bytes", "lost", "divergence"])))
    return data.assign(front_accuracy=on_front(data, "lost"), front_divergence=on_front(data, "divergence"))


def on_front(data: pd.DataFrame, measure: str) -> "pd.Series[bool]":
    """Whether no other point of the same network has fewer bytes and less of a measure, or as little of one of them.

    Args:
        data: rows of `points.frame`; those without bytes are on no front.
        measure: lost or divergence: the less the better.
    """
    flags = pd.Series(False, index=data.index)
    for _, part in data.dropna(subset=["bytes", measure]).groupby("network", sort=False):
        least = float("inf")
        # of equal bytes the best, of equal ones the first
        for index, row in part.sort_values(["bytes", measure], kind="stable").iterrows():
            if row[measure] < least:
                flags[index], least = True, row[measure]
    return flags


def verdicts(data: pd.DataFrame, margin: float) -> list[str]:
    """Of each network three sentences: the fewest bytes within the margin of each side, and twice who diverges less."""
    return [sentence for network, part in _done(data) for sentence in _verdict(str(network), part, margin)]


def _done(data: pd.DataFrame) -> "list[tuple[object, pd.DataFrame]]":
    return list(data[data["n"] > 0].groupby("network", sort=False))


def _verdict(network: str, data: pd.DataFrame, margin: float) -> list[str]:
    sides = {side: data[data["stored"] == side] for side in (WEIGHTS, PREDICTOR)}
    if any(part.empty for part in sides.values()):
        return []
    fewest = {side: part[part["lost"] <= margin].sort_values("bytes", kind="stable") for side, part in sides.items()}
    start = f"{network}, at the original's accuracy less {margin:g} points: "
    if all(len(part) for part in fewest.values()):
        best = {side: part.iloc[0] for side, part in fewest.items()}
        texts = [f"{describe(best[side])} in {kibibytes(best[side]['bytes'])}" for side in (WEIGHTS, PREDICTOR)]
        ratio = best[PREDICTOR]["bytes"] / best[WEIGHTS]["bytes"]
        worse = f"{ratio:.1f} times as many" if ratio >= 1 else f"{1 / ratio:.1f} times fewer"
        first = f"{start}the weights as {texts[0]}, a predictor as {texts[1]}: {worse} bytes."
    else:
        texts = [
            f"{name} need {kibibytes(part['bytes'].iloc[0])}" if len(part) else f"no way to store {name} is that near"
            for name, part in zip(("the weights", "predictors"), fewest.values(), strict=True)
        ]
        first = f"{start}{'; '.join(texts)}."
    return [first, _where(network, sides), _beside_the_line(network, sides)]


def _where(network: str, sides: dict[str, pd.DataFrame]) -> str:
    """For how many bytes a predictor diverges less than anything else that takes no more."""
    predictors, weights = sides[PREDICTOR], sides[WEIGHTS]
    wins = [
        row
        for _, row in predictors.iterrows()
        if not ((weights["bytes"] <= row["bytes"]) & (weights["divergence"] <= row["divergence"])).any()
    ]
    count = f"of its {len(predictors)} stored predictors"
    if not wins:
        return f"{network}: {count} each is beaten by stored weights of no more bytes and no more divergence."
    span = _span([row["bytes"] for row in wins])
    best = describe(min(wins, key=lambda row: row["divergence"]))
    alone = sum(row["bytes"] < weights["bytes"].min() for row in wins)
    unopposed = f", {alone} of them where no weights take so few" if alone else ""
    return (
        f"{network}: {count} {len(wins)} diverge less than all stored weights of no more bytes ({span}; {best})"
        f"{unopposed}."
    )


def _beside_the_line(network: str, sides: dict[str, pd.DataFrame]) -> str:
    """Where the best predictors lie beside what weights of as many bytes might have, were there any."""
    weights, predictors = (_undominated(sides[side]) for side in (WEIGHTS, PREDICTOR))
    low, high, single = weights["bytes"].min(), weights["bytes"].max(), 0
    lies: dict[str, list[float]] = {
        "below it": [],
        "level with it": [],
        "above it": [],
        "where there are no weights": [],
    }
    for _, row in predictors.iterrows():
        line, half_width = _on_line(weights, row["bytes"]), row.get("divergence_half_width", math.nan)
        # logarithms round, and there is none of 0
        reach = (0.0 if math.isnan(half_width) else half_width) + 1e-9 * line + np.finfo(float).tiny
        side = 1 + (row["divergence"] - reach > line) - (row["divergence"] + reach < line)
        beside = low <= row["bytes"] <= high
        lies[list(lies)[side if beside else -1]].append(row["bytes"])
        single += beside and math.isnan(half_width)
    without = f"; {single} of one seed have no interval" if single else ""
    parts = [f"{len(sizes)} {where} ({_span(sizes)})" for where, sizes in lies.items() if sizes]
    return (
        f"{network}, beside a line through the divergences of the weights that no other weights beat (logarithmic, in "
        f"bytes too): of the {len(predictors)} predictors that no other predictor beats {', '.join(parts)}. Level: the "
        f"interval over seeds holds the line{without}."
    )


def _undominated(side: pd.DataFrame) -> pd.DataFrame:
    """Of one side's points those on its own front by divergence, the smallest first."""
    return side[on_front(side, "divergence")].sort_values("bytes", kind="stable")


def _on_line(points: pd.DataFrame, size: float) -> float:
    """The divergence at a size, on straight lines between points in logarithms of both."""
    logarithms = (np.log(points[column].clip(lower=np.finfo(float).tiny)) for column in ("bytes", "divergence"))
    return float(np.exp(np.interp(math.log(size), *logarithms)))


def _span(sizes: list[float]) -> str:
    low, high = (kibibytes(extreme(sizes)) for extreme in (min, max))
    return low if low == high else f"{low} to {high}"


def describe(row: pd.Series) -> str:
    """A point in a few words: the codec of weights; size, order and codec of a predictor."""
    if row["stored"] == WEIGHTS:
        return str(row["codec"])
    order = NAMES.get(row["smoothing"], row["smoothing"])
    return f"h {row['hidden']:.0f} ({row['variant']}, {order}), {row['codec']}"


def kibibytes(size: float) -> str:
    """A size in KiB with three digits or more."""
    return f"{size / KIB:.{1 if size < 100 * KIB else 0}f} KiB"
