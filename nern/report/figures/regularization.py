"""Figure 3: accuracy of original and reconstructed network against the factor λ of the smoothness regularization."""

import pandas as pd
from matplotlib.figure import Figure

from nern.addresses import Cell
from nern.config import Config, fingerprint
from nern.report.figures.cells import bars
from nern.report.figures.style import COLORS, LINES, MARKERS
from nern.report.statistics import mean_confidence_interval
from nern.report.tables.entries import NAMES
from nern.report_settings import TableFigure
from nern.resolved import original_of, original_settings, protocol_of


def frame(config: Config, done: pd.DataFrame) -> pd.DataFrame:
    """Columns network, smoothing, hidden, protocol, lambda, original, n, accuracy, half_width, original_fingerprint.

    Accuracies are in per cent. Variants that learn other originals by one protocol have the name of the first of them.
    """
    rows = []
    protocols: dict[tuple[str, str], str] = {}
    for (network, smoothing, hidden, variant), part in done.groupby(
        ["network", "smoothing", "hidden", "variant"], sort=False
    ):
        cell = Cell.parse(part["cell"].iloc[0])
        original = original_settings(config, original_of(config, cell))
        mean, half_width = mean_confidence_interval(part["accuracy"].tolist())
        alike = fingerprint(protocol_of(config, cell).model_copy(update={"original": ""}))
        row = {"network": network, "smoothing": smoothing, "hidden": hidden}
        row["protocol"] = protocols.setdefault((str(network), alike), str(variant))
        row |= {"lambda": original.recipe.smoothness, "original": part["original_accuracy"].iloc[0], "n": len(part)}
        row |= {"accuracy": mean, "half_width": half_width, "original_fingerprint": fingerprint(original)}
        rows.append(row)
    return pd.DataFrame(rows)


def draw(data: pd.DataFrame, settings: TableFigure, note: str) -> Figure:
    """λ on an axis of equal steps: it has a zero."""
    figure = Figure(figsize=(6, 3.6))
    axes = figure.subplots()
    factors = sorted(set(data["lambda"]))
    places = {factor: place for place, factor in enumerate(factors)}
    several = [name for name in ("network", "smoothing") if data[name].nunique() > 1]
    for number, (network, part) in enumerate(data.groupby("network", sort=False)):
        originals = part.drop_duplicates(["lambda", "original"]).sort_values("lambda")
        axes.plot(
            [places[f] for f in originals["lambda"]],
            originals["original"],
            color="#000000",
            linestyle=LINES[number % len(LINES)],
            marker="x",
            label=f"original, {network}" if "network" in several else "original",
        )
    names = ["network", "smoothing", "hidden"]
    protocols = (data.groupby(names)["protocol"].nunique() > 1).any()
    for number, ((network, smoothing, hidden, protocol), part) in enumerate(
        data.groupby([*names, "protocol"], sort=False)
    ):
        part = part.sort_values("lambda")
        order = f", {NAMES.get(str(smoothing), smoothing)}" if "smoothing" in several else ""
        axes.errorbar(
            [places[f] for f in part["lambda"]],
            part["accuracy"],
            yerr=part["half_width"],
            capsize=3,
            color=COLORS[number % len(COLORS)],
            linestyle=LINES[(number + 1) % len(LINES)],
            marker=MARKERS[number % len(MARKERS)],
            label=f"{network}{order}, h = {hidden}" + (f", {protocol}" if protocols else ""),
        )
    axes.set_xticks(range(len(factors)), [f"{factor:g}" for factor in factors])
    axes.set_xlabel("λ")
    axes.set_ylabel("test accuracy (%)")
    axes.set_title(settings.title, wrap=True)
    axes.legend(loc="best")
    figure.supxlabel(f"{note}; {bars(data)}", fontsize=7, wrap=True)
    return figure
